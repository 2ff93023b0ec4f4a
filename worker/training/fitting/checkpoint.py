"""What a fit needs to go on after it was killed: one file, replaced in one step."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from worker.errors import SourceError
from worker.training.weights import Weights

_STATE, _BEST, _BOOK = "state/", "best/", "book"


@dataclass(frozen=True, slots=True)
class Epoch:
    """One line of the history. `validation` is None where no images are held out for it; `rate` is the epoch's last."""

    number: int
    loss: float
    validation: float | None
    rate: float
    seconds: float


@dataclass(slots=True)
class Checkpoint:
    """Where a fit stands: `batch` batches of epoch `epoch` (from 0) are done, and their losses' sum is `loss_sum`.

    `best` is the student of the lowest validation loss so far, kept only where the recipe asks for it.
    `seconds` is the time spent on the epoch so far.
    """

    state: dict[str, npt.NDArray[np.float32]]
    epoch: int = 0
    batch: int = 0
    loss_sum: float = 0.0
    seconds: float = 0.0
    history: list[Epoch] = field(default_factory=list)
    best: Weights = field(default_factory=dict)


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Replace the file; a kill at any moment leaves the one before or this one.

    Raises:
        OSError: the disk is full, or the like; the file before is still there.
    """
    book = {
        "epoch": checkpoint.epoch,
        "batch": checkpoint.batch,
        "loss_sum": checkpoint.loss_sum,
        "seconds": checkpoint.seconds,
        "history": [asdict(epoch) for epoch in checkpoint.history],
    }
    arrays = {f"{_STATE}{name}": value for name, value in checkpoint.state.items()}
    arrays |= {f"{_BEST}{name}": value for name, value in checkpoint.best.items()}
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            np.savez(file, **arrays, **{_BOOK: np.array(json.dumps(book))})  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())  # the name must not outlive a power cut without the bytes
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def load(path: Path) -> Checkpoint | None:
    """The checkpoint in a file; None where there is none.

    Raises:
        SourceError: the file is damaged.
    """
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as arrays:
            book = json.loads(str(arrays[_BOOK]))
            named = {name: arrays[name] for name in arrays.files if name != _BOOK}
        history = [Epoch(**epoch) for epoch in book.pop("history")]
        return Checkpoint(_below(named, _STATE), history=history, best=_below(named, _BEST), **book)
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
        raise SourceError(f"{path}: the checkpoint is damaged ({error}); --restart begins anew") from error


def _below(arrays: Weights, prefix: str) -> Weights:
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}
