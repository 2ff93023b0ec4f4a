"""Fits an STFPM student to a frozen teacher on good images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from worker.training.data import Samples
from worker.training.framework import F, paddle
from worker.training.network import Backbone, Normalisation, Stfpm, Tensor, distances, folded_backbone, fresh_student
from worker.training.weights import STUDENT, Weights, draw, fold

MOMENTUM, WEIGHT_DECAY = 0.9, 1e-4  # both as published

_SETTLING_IMAGES = 32

Progress = Callable[[int, float], None]
"""Called after each step with the number of steps done and that step's loss."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How long and how fast to fit. The paper has 100 epochs at 0.4; 150 steps do for one kind of part."""

    steps: int = 150
    batch_size: int = 8
    learning_rate: float = 0.4
    seed: int = 0


def fit(teacher: Weights, samples: Samples, recipe: Recipe, progress: Progress | None = None) -> Stfpm:
    """Fit a fresh student to the teacher (folded weights); the same recipe and samples give the same start.

    Returns:
        The network in evaluation mode.
    """
    network = Stfpm(folded_backbone(teacher), fresh_student(draw(recipe.seed, STUDENT)))
    memory = _TeacherMemory(network.teacher, samples)
    settle_at = recipe.steps - recipe.steps // 5  # the last fifth goes slower: the noise of a short fit dies down
    rate = paddle.optimizer.lr.PiecewiseDecay([settle_at], [recipe.learning_rate, recipe.learning_rate / 10])
    optimiser = paddle.optimizer.Momentum(rate, MOMENTUM, network.student.parameters(), weight_decay=WEIGHT_DECAY)
    network.student.train()
    for step, numbers in enumerate(_batches(len(samples), recipe), start=1):
        inputs = samples.batch(numbers)
        loss = stfpm_loss(memory.features(numbers, inputs), network.student(paddle.to_tensor(inputs)))
        loss.backward()
        optimiser.step()
        optimiser.clear_grad()
        rate.step()
        if progress is not None:
            progress(step, float(loss))
    network.eval()
    return network


def stfpm_loss(teacher: list[Tensor], student: list[Tensor]) -> Tensor:
    """Half the squared distance of the normalised features: mean over pixels, sum over layers; a scalar."""
    return sum(0.5 * distance.mean() for distance in distances(teacher, student))


def random_teacher(seed: int, samples: Samples) -> Weights:
    """Folded weights drawn by `seed`, with each channel's mean and spread over some good images taken out.

    Without that, a random network's features all point nearly the same way and show no defect.
    """
    backbone = fresh_student(draw(seed))
    for layer in backbone.sublayers():
        if isinstance(layer, Normalisation):
            layer.momentum = 0.0  # take this batch's statistics as they are
    backbone.train()
    with paddle.no_grad():
        backbone(paddle.to_tensor(samples.batch(range(min(len(samples), _SETTLING_IMAGES)))))
    return fold(backbone.weights())


class _TeacherMemory:
    """The teacher's features of each image, computed when first asked for: no augmentation, so they stay.

    Kept normalised as float16: 0.9 MB an image at 256×256, with an error far below the distances.
    """

    def __init__(self, teacher: Backbone, samples: Samples) -> None:
        self._teacher = teacher
        self._known: list[list[npt.NDArray[np.float16]] | None] = [None] * len(samples)

    def features(self, numbers: list[int], inputs: npt.NDArray[np.float32]) -> list[Tensor]:
        """Per layer n×C×h×w float32, for the images with these numbers, whose inputs are n×3×H×W."""
        new = [place for place, number in enumerate(numbers) if self._known[number] is None]
        if new:
            with paddle.no_grad():
                layers = self._teacher(paddle.to_tensor(inputs[new]))
                arrays = [F.normalize(layer, axis=1).numpy().astype(np.float16) for layer in layers]
            for row, place in enumerate(new):
                self._known[numbers[place]] = [array[row] for array in arrays]
        rows = [known for number in numbers if (known := self._known[number]) is not None]
        return [paddle.to_tensor(np.stack(layer).astype(np.float32)) for layer in zip(*rows, strict=True)]


def _batches(count: int, recipe: Recipe) -> Iterator[list[int]]:
    """Numbers of the images of each step: every image once before any comes again."""
    random = np.random.default_rng(recipe.seed)
    waiting: list[int] = []
    for _ in range(recipe.steps):
        while len(waiting) < recipe.batch_size:
            waiting += random.permutation(count).tolist()
        yield waiting[: recipe.batch_size]
        del waiting[: recipe.batch_size]
