"""Paddle and torch compute the same, so that a student may be fitted in one and run in the other."""

import numpy as np
import pytest

from worker.devices import Device
from worker.training.fitting.fitter import Inputs
from worker.training.fitting.paddle_fitter import PaddleFitter
from worker.training.fitting.recipe import Recipe
from worker.training.framework import F, paddle
from worker.training.network import folded_backbone, fresh_student
from worker.training.weights import STUDENT, Weights, draw, fold

torch = pytest.importorskip("torch", reason="an extra: pip install 'line-worker[torch]'")

from worker.training.fitting.torch_fitter import TorchFitter, backbone  # noqa: E402

RECIPE = Recipe(learning_rate=0.05, size=(96, 96), seed=1)
TEACHER = fold(draw(5))
CPU = Device("cpu")


@pytest.fixture
def inputs() -> Inputs:
    return np.random.default_rng(0).standard_normal((4, 3, 96, 96)).astype(np.float32)


def student_features(weights: Weights, inputs: Inputs) -> list[np.ndarray]:
    """In paddle, normalised, as an exported model has them."""
    with paddle.no_grad():
        layers = folded_backbone(fold(weights))(paddle.to_tensor(inputs))
        return [F.normalize(layer, axis=1).numpy() for layer in layers]


def test_both_begin_with_the_same_student() -> None:
    one, other = PaddleFitter(TEACHER, RECIPE, CPU).student(), TorchFitter(TEACHER, RECIPE).student()

    assert one.keys() == other.keys()
    assert all(np.array_equal(value, other[name]) for name, value in one.items())


def test_both_see_the_same_in_the_teacher(inputs: Inputs) -> None:
    ours, theirs = (
        fitter.features(inputs) for fitter in (PaddleFitter(TEACHER, RECIPE, CPU), TorchFitter(TEACHER, RECIPE))
    )

    assert all(one.dtype == np.float16 for one in theirs)
    assert max(np.abs(one.astype(float) - other).max() for one, other in zip(ours, theirs, strict=True)) < 5e-4


def test_steps_in_float32_come_to_the_same(inputs: Inputs) -> None:
    ours, theirs = PaddleFitter(TEACHER, RECIPE, CPU), TorchFitter(TEACHER, RECIPE, half=False)
    teacher = ours.features(inputs)

    losses = [[fitter.step(inputs, teacher, rate) for rate in (0.05, 0.05, 0.01)] for fitter in (ours, theirs)]

    assert losses[0] == pytest.approx(losses[1], abs=1e-4)
    learned = {name for name in ours.student() if "running" not in name}  # torch's variance has n - 1 below it
    difference = max(np.abs(ours.student()[name] - theirs.student()[name]).max() for name in learned)
    assert difference < 1e-3  # of weights that moved by up to this much
    moved = max(
        np.abs(ours.student()[name] - fresh_student(draw(1, STUDENT)).weights()[name]).max() for name in learned
    )
    assert moved > 10 * difference


@pytest.mark.parametrize("half", [False, True])
def test_a_student_fitted_in_torch_is_the_same_in_paddle(inputs: Inputs, half: bool) -> None:
    fitter = TorchFitter(TEACHER, RECIPE, half=half)
    teacher = fitter.features(inputs)
    for _ in range(3):
        fitter.step(inputs, teacher, 0.05)

    network = backbone(fitter.student(), folded=False).eval()
    with torch.no_grad():
        layers = network(torch.from_numpy(inputs))
    expected = [torch.nn.functional.normalize(layer, dim=1).numpy() for layer in layers]
    found = student_features(fitter.student(), inputs)

    assert max(np.abs(one - other).max() for one, other in zip(found, expected, strict=True)) < 1e-4


def test_the_teachers_loss_against_itself_is_nothing(inputs: Inputs) -> None:
    fitter = PaddleFitter(TEACHER, RECIPE, CPU)
    teacher = fitter.features(inputs)
    fitter.load(fitter.state() | _as_student(TEACHER))

    assert fitter.loss(inputs, teacher) < 1e-4


def _as_student(folded: Weights) -> Weights:
    """Folded weights in a network with BatchNorm: each as its convolution, with a shift for the bias."""
    weights: Weights = {}
    for name, value in folded.items():
        if not name.endswith(".weight"):
            continue
        stem = name.removesuffix(".weight")
        norm = f"{stem[:-1]}1" if stem.endswith("downsample.0") else stem.replace("conv", "bn")
        channels = len(value)
        weights[name] = value
        weights[f"{norm}.bias"] = folded[f"{stem}.bias"]
        weights[f"{norm}.weight"] = np.full(channels, np.sqrt(1 + 1e-5), np.float32)
        weights[f"{norm}.running_mean"] = np.zeros(channels, np.float32)
        weights[f"{norm}.running_var"] = np.ones(channels, np.float32)
    return weights
