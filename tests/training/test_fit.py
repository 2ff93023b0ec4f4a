"""A student learns, the same way each time."""

import numpy as np
import pytest

from worker.capture.generated import GeneratedLine
from worker.inference.preprocess import Transforms
from worker.training.data import Samples
from worker.training.fit import Recipe, fit, random_teacher
from worker.training.network import Stfpm


@pytest.fixture(scope="module")
def samples() -> Samples:
    line = GeneratedLine(seed=1, size=64)
    return Samples([line.render(seq, "good").image for seq in range(4)], Transforms(size=(64, 64)))


def losses(samples: Samples, steps: int) -> tuple[Stfpm, list[float]]:
    seen: list[float] = []
    recipe = Recipe(steps=steps, batch_size=4, learning_rate=0.1)
    network = fit(random_teacher(0, samples), samples, recipe, lambda step, loss: seen.append(loss))
    return network, seen


def test_each_step_lowers_the_loss(samples: Samples) -> None:
    _, seen = losses(samples, 3)

    assert seen[2] < seen[1] < seen[0]


def test_the_same_recipe_makes_the_same_start_and_leaves_the_teacher_alone(samples: Samples) -> None:
    network, seen = losses(samples, 1)

    assert seen == losses(samples, 1)[1]
    teacher = random_teacher(0, samples)
    assert all(np.array_equal(value, teacher[name]) for name, value in network.teacher.weights().items())


def test_a_random_teacher_is_spread_out(samples: Samples) -> None:
    assert all(np.isfinite(value).all() for value in random_teacher(3, samples).values())
    assert not np.array_equal(random_teacher(3, samples)["conv1.weight"], random_teacher(4, samples)["conv1.weight"])
