"""Folding is exact, and what is exported runs for any batch."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from worker.inference.predictor import Predictor
from worker.training.export import export
from worker.training.fitting.recipe import LayerWeights
from worker.training.framework import paddle
from worker.training.network import Backbone, Stfpm, folded_backbone, fresh_student
from worker.training.teachers.files import read
from worker.training.weights import Weights, draw, fold


def with_batch_norm(seed: int) -> Weights:
    """A network's weights with BatchNorm statistics such as training leaves behind."""
    random = np.random.default_rng(seed)
    weights = Backbone(folded=False).weights() | draw(seed)
    for name, value in weights.items():
        if name.endswith("running_var"):
            weights[name] = random.uniform(0.5, 2, value.shape).astype(np.float32)
        elif value.ndim == 1:
            weights[name] = random.normal(0.5, 0.2, value.shape).astype(np.float32)
    return weights


def test_the_same_seed_draws_the_same_weights() -> None:
    assert all(np.array_equal(value, draw(5)[name]) for name, value in draw(5).items())
    assert not np.array_equal(draw(5)["conv1.weight"], draw(6)["conv1.weight"])


def test_folding_one_layer_equals_the_formula() -> None:
    weights = with_batch_norm(0)

    folded = fold(weights)

    factor = weights["layer2.0.downsample.1.weight"] / np.sqrt(weights["layer2.0.downsample.1.running_var"] + 1e-5)
    shift = weights["layer2.0.downsample.1.bias"] - weights["layer2.0.downsample.1.running_mean"] * factor
    wanted = weights["layer2.0.downsample.0.weight"] * factor[:, None, None, None]
    np.testing.assert_allclose(folded["layer2.0.downsample.0.weight"], wanted, rtol=1e-5)
    np.testing.assert_allclose(folded["layer2.0.downsample.0.bias"], shift, rtol=1e-4, atol=1e-6)


def test_a_folded_network_gives_the_same_features() -> None:
    weights = with_batch_norm(1)
    original = Backbone(folded=False).load(weights)
    original.eval()
    x = paddle.to_tensor(np.random.default_rng(0).normal(size=(1, 3, 64, 64)).astype(np.float32))

    with paddle.no_grad():
        pairs = zip(original(x), folded_backbone(fold(weights))(x), strict=True)

        for wanted, found in pairs:
            np.testing.assert_allclose(found.numpy(), wanted.numpy(), rtol=1e-3, atol=1e-3 * wanted.numpy().max())


@pytest.mark.parametrize("half", [False, True], ids=["float32", "float16"])
@pytest.mark.parametrize("weights", [(1, 1, 1), (0.25, 0.5, 1), (0, 1, 1)], ids=str)
def test_an_export_runs_for_one_and_for_many_alike(tmp_path: Path, half: bool, weights: LayerWeights) -> None:
    network = Stfpm(folded_backbone(fold(draw(0))), fresh_student(draw(1)), weights)
    export(network, tmp_path, (64, 64), half=half)
    predictor = Predictor.open(tmp_path)
    inputs = np.random.default_rng(0).normal(size=(3, 3, 64, 64)).astype(np.float32)

    together = predictor.infer(list(inputs))
    alone = np.concatenate([predictor.infer([one]) for one in inputs])

    network.eval()
    with paddle.no_grad():
        wanted = network(paddle.to_tensor(inputs)).numpy()[:, 0]
    assert together.shape == (3, 64, 64)
    np.testing.assert_allclose(together, alone, rtol=1e-4)
    np.testing.assert_allclose(together, wanted, rtol=0.02 if half else 1e-3)


def test_the_real_teacher_loads(shared_dir: Path) -> None:
    file = shared_dir / "weights" / "resnet18_imagenet1k_v1_bnfolded_conv1_layer1-3.npz"
    x = paddle.zeros([1, 3, 256, 256])

    with paddle.no_grad():
        features = folded_backbone(read(file))(x)

    assert [feature.shape[1:] for feature in features] == [[64, 64, 64], [128, 32, 32], [256, 16, 16]]


@pytest.mark.parametrize("missing", [1, 20_000, 200_000, 2_000_000])
def test_an_export_that_the_disk_has_no_room_for_is_no_export(tmp_path: Path, missing: int) -> None:
    script = f"""
import resource
from pathlib import Path
from worker.training.export import export
from worker.training.network import Stfpm, folded_backbone
from worker.training.weights import draw, fold

network = Stfpm(folded_backbone(fold(draw(0))), folded_backbone(fold(draw(1))))
export(network, Path({str(tmp_path)!r}) / "whole", (64, 64), half=True)
size = (Path({str(tmp_path)!r}) / "whole" / "inference.pdiparams").stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size - {missing}, resource.RLIM_INFINITY))
try:
    export(network, Path({str(tmp_path)!r}) / "cut", (64, 64), half=True)
except OSError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert "was not written whole" in done.stdout
    assert (tmp_path / "whole" / "inference.yml").is_file()
    assert not list((tmp_path / "cut").iterdir())
