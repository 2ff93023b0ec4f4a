"""What a training was asked for, written down before it begins: a later call goes on only with the very same."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from worker.errors import SettingsError, SourceError
from worker.training.fitting.recipe import Recipe
from worker.training.photographs import Digests
from worker.training.teachers.files import read
from worker.training.weights import Weights

_PLAN, _TEACHER, _CHECKPOINT = "plan.json", "teacher.npz", "checkpoint.npz"
_HISTORY, _CURVES, _MODEL, _LOCK = "history.csv", "curves.png", "model", "lock"


class Plan(BaseModel):
    """The pictures by what they are for, the teacher by its sha256, the recipe, and the promise to keep.

    `alike` counts the pictures that are nearly another one.
    `fitter` has the precision and the number of threads too: others give other numbers.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    recipe: Recipe
    teacher: str
    teacher_sha256: str
    fitter: str
    learned: Digests
    validation: Digests
    held_out: Digests
    alike: int
    data_digest: str
    false_reject_rate: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Run:
    """The folder beside a model that its training keeps its state in."""

    folder: Path

    @classmethod
    def beside(cls, output: Path) -> Run:
        """The one of the model that is to be written to `output`."""
        place = output.resolve()
        return cls(place.parent / f"{place.name}.training")

    @property
    def checkpoint(self) -> Path:
        """The fit's state."""
        return self.folder / _CHECKPOINT

    @property
    def history(self) -> Path:
        """A line an epoch, as CSV."""
        return self.folder / _HISTORY

    @property
    def curves(self) -> Path:
        """Loss and validation loss, as a picture."""
        return self.folder / _CURVES

    @property
    def model(self) -> Path:
        """Where the model is made, until it is whole."""
        return self.folder / _MODEL

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else trains here meanwhile.

        Raises:
            SettingsError: somebody does, the folder holds what no training left there, or cannot be written to.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not (self.folder / _LOCK).exists() and any(self.folder.iterdir()):
                raise SettingsError(f"{self.folder} holds something that is no training: take another --output")
            file = (self.folder / _LOCK).open("w")
        except OSError as error:
            raise SettingsError(f"{self.folder}: cannot be written to: {error.strerror}") from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise SettingsError(f"{self.folder}: another training is at work here") from error
            yield

    def begin(self, plan: Plan, teacher: Weights, *, restart: bool = False) -> bool:
        """Write the plan down, or find it as an earlier call left it: then True, if something was fitted.

        Args:
            restart: forget what an earlier call left.

        Raises:
            SettingsError: an earlier call had another plan.
        """
        file = self.folder / _PLAN
        if restart:
            file.unlink(missing_ok=True)  # first, so that it never stands beside what is another training's
        if file.is_file():
            self._same(plan)
            return self.checkpoint.is_file()
        for left in (self.checkpoint, self.history, self.curves):
            left.unlink(missing_ok=True)
        np.savez(self.folder / _TEACHER, **teacher)  # type: ignore[arg-type]
        part = file.with_suffix(".part")
        with part.open("w") as stream:
            stream.write(plan.model_dump_json(indent=2) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(file)
        return False

    def plan(self) -> Plan:
        """What was written down.

        Raises:
            SourceError: there is no training in the folder.
        """
        try:
            return Plan.model_validate_json((self.folder / _PLAN).read_bytes())
        except (OSError, ValidationError) as error:
            raise SourceError(f"{self.folder}: there is no training in this folder") from error

    def teacher(self) -> Weights:
        """The folded weights that the student was fitted to."""
        return read(self.folder / _TEACHER)

    def _same(self, plan: Plan) -> None:
        try:
            before = self.plan().model_dump()
        except SourceError as error:
            raise SettingsError(f"{self.folder / _PLAN} cannot be understood: --restart begins anew") from error
        now = plan.model_dump()
        other = [name for name in now if before[name] != now[name]]
        if other:
            raise SettingsError(
                f"{self.folder} holds a training with other {', '.join(other)}: take another --output, or --restart"
            )
