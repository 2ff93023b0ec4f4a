"""Exports for where this program does not run: a graph for another runtime, and all that there is to know of it.

An export is a folder: the graph, `model.json` that describes it, and `predict.py` that runs it with its runtime alone.
It is checked against paddle's scores before it is put in its place, in one step.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from worker.errors import EngineRefused, SettingsError
from worker.inference.bundle import Bundle, sha256
from worker.inference.edge import predict
from worker.inference.edge.check import compared, reference, scores_of
from worker.inference.edge.description import describe
from worker.inference.edge.formats import FORMATS, Made, Request
from worker.inference.engines import Variant
from worker.inference.selection.parity import Parity, refusal
from worker.settings import GateSettings
from worker.types import Image

__all__ = ["FORMATS", "Exported", "Request", "check_output", "export_model"]

_DESCRIPTION, _EXAMPLE = "model.json", "predict.py"


@dataclass(frozen=True, slots=True)
class Exported:
    """How the scores of `what` compare with paddle's, and on how many frames of what origin that was seen."""

    what: str
    parity: Parity
    frames: int
    origin: str


def export_model(
    bundle: Bundle, output: Path, request: Request, gate: GateSettings, images: Sequence[Image] = ()
) -> Exported:
    """Write an export of the bundle to the folder `output`, which is new or empty.

    Args:
        gate: how far scores may be from paddle's in fp32.
        images: good photographs, H×W×3 RGB uint8, to compare by; none: the bundle's golden frames, or generated ones.

    Raises:
        SettingsError: the output cannot be written to or holds something; and see `Format.require`.
        BundleError: the model cannot be converted, or has no int8 graph.
        EngineRefused: the graph's scores are not paddle's; nothing was written.
    """
    wanted = FORMATS[request.format]
    check_output(output)
    wanted.require(bundle, request)
    with _folder_for(output) as folder, tempfile.TemporaryDirectory(prefix="line-worker-export-") as scratch:
        made = wanted.make(bundle, request, folder, Path(scratch))
        known = reference(bundle, images)
        scores = scores_of(Variant(wanted.engine, "fp32"), made.checked, known.frames)
        parity = compared(scores, known, bundle.threshold)
        if problem := refusal(parity, request.precision, gate):
            raise EngineRefused(f"{request.format} {request.precision} of {bundle.folder}: {problem}; not written")
        exported = Exported(made.verified, parity, len(known.frames), known.origin)
        _write_beside(folder, bundle, request, made, exported)
    return exported


def _write_beside(folder: Path, bundle: Bundle, request: Request, made: Made, exported: Exported) -> None:
    told = {
        "format": request.format,
        "precision": request.precision,
        **made.told,
        "file": made.graph.name,
        "sha256": {file.name: sha256(file) for file in sorted(folder.iterdir())},
        "verified": {
            "against": "paddle fp32",
            "what": exported.what,
            "frames": exported.frames,
            "origin": exported.origin,
            **exported.parity.as_dict(),
        },
    }
    (folder / _DESCRIPTION).write_text(describe(bundle, made.ends, **told), encoding="utf-8")
    shutil.copyfile(predict.__file__, folder / _EXAMPLE)


def check_output(output: Path) -> None:
    """Refuse a place where something is already.

    Raises:
        SettingsError: there is, or it cannot be looked at.
    """
    try:
        taken = output.exists() and (not output.is_dir() or any(output.iterdir()))
        if output.resolve().is_mount():
            raise SettingsError(f"--output {output}: is a mount point; name a folder in it")
    except OSError as error:
        raise SettingsError(f"--output {output}: cannot be looked at: {error.strerror}") from error
    if taken:
        raise SettingsError(f"--output {output}: something is there already; nothing is ever overwritten")


@contextmanager
def _folder_for(output: Path) -> Iterator[Path]:
    """A folder beside the output that takes its place once all is written, and is gone where that fails."""
    place = output.resolve()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=f".{place.name}.", dir=place.parent, ignore_cleanup_errors=True
        ) as scratch:
            folder = Path(scratch) / "export"
            folder.mkdir()
            yield folder
            folder.replace(place)
    except OSError as error:
        raise SettingsError(f"--output {output}: cannot be written: {error.strerror}") from error
