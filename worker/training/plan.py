"""What a training was asked for, written down before it begins: a later call goes on only with the very same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from worker.errors import SettingsError, SourceError
from worker.training.fitting.recipe import Recipe
from worker.training.teachers.files import read
from worker.training.weights import Weights

_PLAN, _CHECKPOINT, _HISTORY, _CURVES = "plan.json", "checkpoint.npz", "history.csv", "curves.png"
_TEACHER = "teacher.npz"


class Plan(BaseModel):
    """The images by what they are for, the teacher by its sha256, the recipe, and the promise to keep.

    `fitter` has the precision too: another one gives other numbers. `data_digest` is that of all the images.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    recipe: Recipe
    teacher: str
    teacher_sha256: str
    fitter: str
    learned: list[str]
    validation: list[str]
    held_out: list[str]
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
        return cls(output.parent / f"{output.resolve().name}.training")

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

    def begin(self, plan: Plan, teacher: Weights, *, restart: bool = False) -> bool:
        """Make the folder, or find it as an earlier call left it: then True.

        Args:
            restart: forget what an earlier call left.

        Raises:
            SettingsError: an earlier call had another plan, or the folder cannot be written to.
        """
        file = self.folder / _PLAN
        try:
            earlier = None if restart or not file.is_file() else Plan.model_validate_json(file.read_bytes())
            if earlier is not None:
                self._same(earlier, plan)
                return self.checkpoint.is_file()
            self.folder.mkdir(parents=True, exist_ok=True)
            for left in (self.checkpoint, self.history, self.curves):
                left.unlink(missing_ok=True)
            np.savez(self.folder / _TEACHER, **teacher)  # type: ignore[arg-type]
            file.write_text(plan.model_dump_json(indent=2) + "\n")
        except ValidationError as error:
            raise SettingsError(f"{file} cannot be understood: --restart begins anew") from error
        except OSError as error:
            raise SettingsError(f"{self.folder}: nothing can be written there: {error.strerror}") from error
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

    def _same(self, earlier: Plan, plan: Plan) -> None:
        before, now = (each.model_dump() for each in (earlier, plan))
        other = [name for name in now if before[name] != now[name]]
        if other:
            raise SettingsError(
                f"{self.folder} holds a training with other {', '.join(other)}: take another --output, or --restart"
            )


def split(paths: Sequence[Path], shares: Sequence[float], seed: int) -> list[list[Path]]:
    """Shuffle by `seed`; the first list is what is left after each of `shares` got its part, at least one image.

    A share of 0 gets none.

    Raises:
        SourceError: too few images.
    """
    wanted = [max(1, round(len(paths) * share)) if share else 0 for share in shares]
    if len(paths) < 2 or sum(wanted) >= len(paths):
        raise SourceError(
            f"{len(paths)} images are not enough: some are learned from, others watch the fit and calibrate"
        )
    order = [paths[number] for number in np.random.default_rng(seed).permutation(len(paths))]
    parts, at = [], 0
    for count in wanted:
        parts.append(order[at : at + count])
        at += count
    return [order[at:], *parts]
