"""An equalised teacher is the same network with its channels at one strength."""

import numpy as np
import pytest

from worker.capture.generated import GeneratedLine
from worker.errors import SourceError
from worker.training.data import Samples
from worker.training.framework import paddle
from worker.training.make import transforms_of
from worker.training.network import folded_backbone
from worker.training.teachers.equalise import equalised, prepared, scaled, strengths
from worker.training.weights import Weights, draw, fold


@pytest.fixture(scope="module")
def good() -> Samples:
    line = GeneratedLine(seed=1, size=64)
    return Samples([line.render(seq, "good").image for seq in range(10)], transforms_of((64, 64)))


@pytest.fixture(scope="module")
def teacher() -> Weights:
    return fold(draw(7))


def features(weights: Weights, good: Samples) -> list[np.ndarray]:
    with paddle.no_grad():
        return [stage.numpy() for stage in folded_backbone(weights)(paddle.to_tensor(good.batch(range(4))))]


def test_features_are_the_same_times_the_factors(teacher: Weights, good: Samples) -> None:
    random = np.random.default_rng(3)
    factors = [10 ** random.uniform(-1, 1, channels) for channels in (64, 128, 256)]

    pairs = zip(features(teacher, good), features(scaled(teacher, factors), good), factors, strict=True)

    for before, after, factor in pairs:
        np.testing.assert_allclose(after, before * factor[:, None, None], rtol=1e-3, atol=1e-4 * before.max())


def test_every_channel_that_lives_has_the_strength_one(teacher: Weights, good: Samples) -> None:
    # Given a channel that no good image wakes
    teacher = {name: value.copy() for name, value in teacher.items()}
    for name in ("layer2.0.downsample.0", "layer2.0.conv2", "layer2.1.conv2"):
        teacher[f"{name}.weight"][5] = 0
    lives = strengths(teacher, good)[1] > 0

    found = strengths(equalised(teacher, strengths(teacher, good)), good)

    assert [int(stage.size) for stage in found] == [64, 128, 256]
    assert np.isfinite(np.concatenate(found)).all()
    assert found[1][5] == 0
    assert not lives[5]
    assert np.median(np.concatenate(found)) == pytest.approx(1, rel=1e-3)
    assert max(stage.max() for stage in found) <= 1.001


@pytest.mark.parametrize(
    ("name", "factor", "said"),
    [
        ("layer3.1.conv2.bias", np.nan, "float16"),
        ("layer1.0.conv1.weight", 1e7, "float16"),
        ("conv1.weight", 0, "layer1 sees nothing"),
    ],
)
def test_a_teacher_that_teaches_nothing_is_refused(
    teacher: Weights, good: Samples, name: str, factor: float, said: str
) -> None:
    broken = teacher | {name: (teacher[name] + 1) * np.float32(factor)}

    assert prepared(teacher, good, "fine", equalise=True)
    with pytest.raises(SourceError, match=f"teacher broken: .*{said}"):
        prepared(broken, good, "broken", equalise=True)


def test_a_stage_of_which_the_most_channels_are_dead_is_equalised(teacher: Weights, good: Samples) -> None:
    alive = (np.arange(256) < 100).astype(np.float32)
    dead = dict(teacher)
    for name in ("layer3.0.downsample.0", "layer3.0.conv2", "layer3.1.conv2"):
        dead[f"{name}.weight"] = dead[f"{name}.weight"] * alive[:, None, None, None]

    assert np.isfinite(
        np.concatenate([value.ravel() for value in prepared(dead, good, "dead", equalise=True).values()])
    ).all()
