"""The loop of a fit: epochs of shuffled batches, validation, early stop, checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structlog

from worker.errors import TrainingFailed, TrainingStopped
from worker.training.data import Samples
from worker.training.fitting.checkpoint import Checkpoint, Epoch, load, save
from worker.training.fitting.fitter import Fitter
from worker.training.fitting.memory import TeacherMemory
from worker.training.fitting.recipe import Recipe
from worker.training.weights import Weights

SAVE_EVERY_S = 20.0
_VALIDATION_BATCH = 8

Progress = Callable[[int, int, float], None]
"""Called after each step with the steps done, the steps in all, and that step's loss. It may raise TrainingStopped: the
fit is kept as it stands then."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Fitted:
    """A student and how it came to be. `best_epoch` is the number of the epoch that it is from."""

    student: Weights
    history: list[Epoch]
    best_epoch: int

    @classmethod
    def of(cls, at: Checkpoint, last: Weights) -> Fitted:
        """The student of the lowest validation loss where it was kept, else the last one."""
        best = best_epoch(at.history)
        return cls(at.best or last, at.history, best.number if best and at.best else at.history[-1].number)


def fit(
    fitter: Fitter,
    learned: Samples,
    validation: Samples,
    recipe: Recipe,
    *,
    checkpoint: Path | None = None,
    save_every_s: float = SAVE_EVERY_S,
    progress: Progress | None = None,
) -> Fitted:
    """Fit the fitter's student; from the checkpoint on where there is one.

    Broken off at any moment and called again with the same arguments, it gives the same student: the order of
    the images depends on the seed and the epoch alone.

    Args:
        validation: images that the loss is watched on; may be empty.
        checkpoint: file to keep the state in; None: nothing is kept.

    Raises:
        TrainingFailed: the loss is no number any more.
        SourceError: the checkpoint is damaged.
    """
    return _Fit(fitter, learned, validation, recipe, checkpoint, save_every_s, progress).run()


class _Fit:
    def __init__(
        self,
        fitter: Fitter,
        learned: Samples,
        validation: Samples,
        recipe: Recipe,
        file: Path | None,
        save_every_s: float,
        progress: Progress | None,
    ) -> None:
        self._fitter, self._recipe, self._file, self._progress = fitter, recipe, file, progress
        self._learned = TeacherMemory(fitter, learned)
        self._validation = TeacherMemory(fitter, validation)
        self._count, self._validation_count = len(learned), len(validation)
        self._batches = max(1, math.ceil(self._count / recipe.batch_size))
        self._save_every_s, self._saved_at = save_every_s, time.monotonic()
        self._at = Checkpoint({})
        if file is not None and (found := load(file)) is not None:
            fitter.load(found.state)
            self._at = found

    def run(self) -> Fitted:
        try:
            while self._at.epoch < self._recipe.epochs and not self._stale():
                self._epoch()
        except TrainingStopped:
            self._save()
            raise
        self._save()
        return Fitted.of(self._at, self._fitter.student())

    def _epoch(self) -> None:
        """The rest of the epoch that the fit stands in."""
        at, began = self._at, time.monotonic() - self._at.seconds
        rate = 0.0
        for numbers in self._order()[at.batch :]:
            step = at.epoch * self._batches + at.batch
            rate = self._recipe.rate(step, self._recipe.epochs * self._batches)
            loss = self._fitter.step(*self._learned.batch(numbers), rate)
            if not math.isfinite(loss):
                raise TrainingFailed(f"the loss is no number after step {step + 1}: take a lower learning rate")
            at.batch += 1
            at.loss_sum += loss
            at.seconds = time.monotonic() - began
            if self._progress is not None:
                self._progress(step + 1, self._recipe.epochs * self._batches, loss)
            if at.batch < self._batches and time.monotonic() - self._saved_at >= self._save_every_s:
                self._save()
        self._end_epoch(rate, time.monotonic() - began)

    def _end_epoch(self, rate: float, seconds: float) -> None:
        at = self._at
        if not all(np.isfinite(value).all() for value in self._fitter.student().values()):
            # Paddle's rectifier makes 0 of what is no number, so that the loss does not show it.
            raise TrainingFailed(f"the student is lost after epoch {at.epoch + 1}: take a lower learning rate")
        at.history.append(Epoch(at.epoch + 1, at.loss_sum / self._batches, self._validate(), rate, round(seconds, 3)))
        if self._recipe.patience and best_epoch(at.history) is at.history[-1]:
            at.best = self._fitter.student()
        at.epoch, at.batch, at.loss_sum, at.seconds = at.epoch + 1, 0, 0.0, 0.0
        if time.monotonic() - self._saved_at >= self._save_every_s:
            self._save()

    def _order(self) -> list[list[int]]:
        """The images of each batch of this epoch, each image once; the batches are as even as can be."""
        random = np.random.default_rng([self._recipe.seed, self._at.epoch])
        return [batch.tolist() for batch in np.array_split(random.permutation(self._count), self._batches)]

    def _validate(self) -> float | None:
        """The mean loss of the images that are not learned from."""
        if not self._validation_count:
            return None
        total = 0.0
        for numbers in _runs(self._validation_count, _VALIDATION_BATCH):
            total += self._fitter.loss(*self._validation.batch(numbers)) * len(numbers)
        return total / self._validation_count

    def _stale(self) -> bool:
        """Whether the patience is at its end."""
        best = best_epoch(self._at.history)
        return bool(best and self._recipe.patience and self._at.epoch - best.number >= self._recipe.patience)

    def _save(self) -> None:
        self._saved_at = time.monotonic()
        if self._file is None or not self._fitter.leads:
            return
        self._at.state = self._fitter.state()
        try:
            save(self._file, self._at)
        except OSError as error:  # the fit itself goes on: only what a kill would cost grows
            log.warning("the checkpoint cannot be written", file=str(self._file), error=error.strerror)


def best_epoch(history: Sequence[Epoch]) -> Epoch | None:
    """The first epoch with the lowest validation loss; None where nothing was validated."""
    seen = [epoch for epoch in history if epoch.validation is not None]
    return min(seen, key=lambda epoch: epoch.validation or 0.0, default=None)


def _runs(count: int, size: int) -> Iterator[list[int]]:
    for start in range(0, count, size):
        yield list(range(start, min(count, start + size)))
