"""The statistics that a student is taken with are those that tell painted defects better."""

from pathlib import Path

import numpy as np
import pytest

from worker.capture.generated import GeneratedLine
from worker.devices import Device
from worker.training.data import Samples
from worker.training.fitting.loop import fit
from worker.training.fitting.paddle_fitter import PaddleFitter
from worker.training.fitting.recipe import RUNNING, SETTLED, Recipe, Statistics
from worker.training.fitting.settle import settled
from worker.training.framework import paddle
from worker.training.make import frozen_network, transforms_of
from worker.training.network import Stfpm
from worker.training.statistics import resting_network
from worker.training.weights import Weights, draw, fold

SIDE = 64
RECIPE = Recipe(epochs=4, batch_size=4, size=(SIDE, SIDE))
TEACHER = fold(draw(5))


def samples(count: int, start: int = 0) -> Samples:
    line = GeneratedLine(seed=1, size=SIDE)
    return Samples((line.render(start + seq, "good").image for seq in range(count)), transforms_of((SIDE, SIDE)))


def maps(network: Stfpm) -> np.ndarray:
    with paddle.no_grad():
        found: np.ndarray = network(paddle.to_tensor(samples(2, 90).batch(range(2)))).numpy()
    return found


@pytest.fixture(scope="module")
def student() -> Weights:
    return fit(PaddleFitter(TEACHER, RECIPE, Device("cpu")), samples(12), samples(0), RECIPE).student


def test_those_that_find_more_are_taken(student: Weights, tmp_path: Path) -> None:
    lost = {name: value * 0 + 1e6 if "running_var" in name else value for name, value in student.items()}

    network, chosen = resting_network(TEACHER, lost, RECIPE, samples(12), samples(4, 50), tmp_path)

    assert chosen.statistics == SETTLED
    assert chosen.painted[SETTLED] > chosen.painted[RUNNING]
    wanted = frozen_network(TEACHER, settled(student, samples(12)), RECIPE.layer_weights)
    np.testing.assert_allclose(maps(network), maps(wanted), rtol=1e-3)
    assert not any(tmp_path.iterdir())


def test_those_that_give_no_numbers_are_not_taken(student: Weights, tmp_path: Path) -> None:
    burst = {name: value * (10 if name.endswith("weight") else 1) for name, value in student.items()}
    burst |= {name: value * 0 for name, value in student.items() if "running_var" in name}

    chosen = resting_network(TEACHER, burst, RECIPE, samples(12), samples(4, 50), tmp_path)[1]

    assert chosen.statistics == SETTLED
    assert chosen.painted[RUNNING] == 0.0


def test_the_same_choice_is_made_again(student: Weights, tmp_path: Path) -> None:
    one, other = (resting_network(TEACHER, student, RECIPE, samples(12), samples(4, 50), tmp_path)[1] for _ in range(2))

    assert one == other
    assert one.painted[one.statistics] == max(one.painted.values())


@pytest.mark.parametrize("asked", [RUNNING, SETTLED])
def test_those_that_are_asked_for_are_taken(student: Weights, tmp_path: Path, asked: Statistics) -> None:
    recipe = RECIPE.model_copy(update={"statistics": asked})

    network, chosen = resting_network(TEACHER, student, recipe, samples(12), samples(4, 50), tmp_path)

    assert (chosen.statistics, chosen.painted) == (asked, {})
    own = student if asked == RUNNING else settled(student, samples(12))
    np.testing.assert_array_equal(maps(network), maps(frozen_network(TEACHER, own, RECIPE.layer_weights)))
