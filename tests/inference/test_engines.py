"""Every engine and precision that this machine has, on a real model: maps like paddle's, batches like singles."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import models
import numpy as np
import onnx
import pytest

from worker.demo import MODEL
from worker.devices import Device
from worker.errors import BundleError, DeviceError, EngineError, SettingsError
from worker.inference.bundle import Bundle, load_bundle
from worker.inference.conversion import convert, quantise
from worker.inference.conversion.stfpm import upsampling
from worker.inference.engines import REFERENCE, Engine, Variant, available, open_engine
from worker.inference.predictor import Predictor
from worker.inference.selection.golden import generated
from worker.types import Image

CPU = Device("cpu")
LARGEST_ERROR = {"fp32": 1e-4, "fp16": 0.02, "bf16": 0.06, "int8": 0.3}
VARIANTS = [
    Variant(engine, precision)
    for engine, precisions in {
        "paddle": ("fp32", "bf16"),
        "openvino": ("fp32", "fp16", "bf16", "int8"),
        "onnxruntime": ("fp32", "int8"),
    }.items()
    for precision in precisions
]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The tests' model with the graphs that other engines run."""
    folder = tmp_path_factory.mktemp("graphs")
    convert(models.bare_export(), folder / "inference.onnx")
    pictures = generated((models.SIDE, models.SIDE))
    np.savez(folder / "frames.npz", learned=pictures[:24], others=pictures[24:])
    quantise(folder / "inference.onnx", folder / "frames.npz", folder / "inference.int8.onnx")
    return dataclasses.replace(
        load_bundle(models.bare_export()),
        onnx=folder / "inference.onnx",
        onnx_int8=folder / "inference.int8.onnx",
    )


@pytest.fixture(scope="module")
def frames() -> list[Image]:
    return [*generated((models.SIDE, models.SIDE), 5), np.zeros((models.SIDE, models.SIDE, 3), np.uint8)]


ONE_CORE = Device("cpu", cores=(min(os.sched_getaffinity(0)),))


@pytest.fixture(params=[(variant, device) for variant in VARIANTS for device in (CPU, ONE_CORE)], ids=str)
def engine(request: pytest.FixtureRequest, bundle: Bundle) -> Engine:
    variant, device = request.param
    try:
        return open_engine(variant, bundle, device)
    except DeviceError as error:
        pytest.skip(str(error))


def run(engine: Engine, frames: list[Image]) -> np.ndarray:
    return engine.run(np.stack([engine.encode(frame) for frame in frames]))


def test_an_engine_gives_paddles_maps(engine: Engine, bundle: Bundle, frames: list[Image]) -> None:
    expected = run(open_engine(REFERENCE, bundle, CPU), frames)
    found = run(engine, frames)
    assert found.dtype == np.float32
    assert found.shape == (len(frames), models.SIDE, models.SIDE)
    errors = np.abs(found - expected).max(axis=(1, 2)) / expected.max(axis=(1, 2))
    assert errors.max() < LARGEST_ERROR[engine.precision]


@pytest.mark.parametrize("size", [2, 3, 6])
def test_a_batch_gives_what_its_frames_give_alone(size: int, engine: Engine, frames: list[Image]) -> None:
    alone = np.concatenate([run(engine, [frame]) for frame in frames])
    together = np.concatenate([run(engine, frames[at : at + size]) for at in range(0, len(frames), size)])
    assert np.allclose(together, alone, rtol=1e-4, atol=1e-6 * float(alone.max()))


def test_a_batch_begun_before_the_one_before_it_was_fetched_gives_its_own_maps(
    engine: Engine, frames: list[Image]
) -> None:
    encoded = [engine.encode(frame) for frame in frames]
    alone = run(engine, frames)
    for sizes in ((6, 6), (1, 4), (4, 1), (1, 1), (3, 5)):
        first = engine.start(np.stack(encoded[: sizes[0]]))
        second = engine.start(np.stack(encoded[::-1][: sizes[1]]))
        assert np.allclose(first(), alone[: sizes[0]], rtol=1e-4, atol=1e-6 * float(alone.max()))
        assert np.allclose(second(), alone[::-1][: sizes[1]], rtol=1e-4, atol=1e-6 * float(alone.max()))


def test_one_that_fails_leaves_the_batch_behind_it_its_maps(engine: Engine, frames: list[Image]) -> None:
    encoded = [engine.encode(frame) for frame in frames]
    alone = run(engine, frames)
    for _ in range(3):
        first = engine.start(np.stack(encoded[:4]))
        behind = engine.start(np.stack(encoded[2:6]))
        first()
        with pytest.raises(EngineError):
            engine.start(np.zeros((2, 5, 7, 9), np.uint8))()
        again = [
            engine.start(encoded[place][None])() for place in range(4)
        ]  # as a worker tries a failed batch's frames
        assert np.allclose(np.concatenate(again), alone[:4], rtol=1e-4, atol=1e-6 * float(alone.max()))
        assert np.allclose(behind(), alone[2:6], rtol=1e-4, atol=1e-6 * float(alone.max()))


def test_the_engine_says_what_it_is(engine: Engine) -> None:
    assert Variant(engine.name, engine.precision) in VARIANTS


def test_what_is_available_has_its_graph(bundle: Bundle) -> None:
    bare = dataclasses.replace(bundle, onnx=None, onnx_int8=None)
    assert {variant.engine for variant in available(bare, CPU)} == {"paddle"}
    assert set(VARIANTS) == set(available(bundle, CPU))
    with pytest.raises(BundleError, match="no ONNX graph for int8: `line-worker optimize`"):
        open_engine(Variant("openvino", "int8"), dataclasses.replace(bundle, onnx_int8=None), CPU)


def test_a_precision_that_a_device_has_not_is_refused_naming_those_it_has(bundle: Bundle) -> None:
    with pytest.raises(SettingsError, match="onnxruntime bf16 is not to be had on cpu; there are paddle fp32"):
        open_engine(Variant("onnxruntime", "bf16"), bundle, CPU)


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_a_damaged_graph_is_a_bundle_error(engine: str, bundle: Bundle, tmp_path: Path) -> None:
    damaged = tmp_path / "inference.onnx"
    damaged.write_bytes(bundle.graph_for("fp32").read_bytes()[:5000])
    with pytest.raises(BundleError, match="cannot load it"):
        open_engine(Variant(engine, "fp32"), dataclasses.replace(bundle, onnx=damaged), CPU)


def test_the_graph_takes_bytes_and_upsamples_by_products(bundle: Bundle) -> None:
    graph = onnx.load(bundle.graph_for("fp32")).graph
    kinds = [node.op_type for node in graph.node]
    assert kinds[:4] == ["Cast", "Mul", "Add", "Transpose"]
    assert graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert kinds.count("MatMul") == 6
    assert "Resize" not in kinds


def test_converting_computes_constants_and_installs_nothing(tmp_path: Path) -> None:
    """Left to itself paddle2onnx loads a package that runs `pip install` for another one, whenever it is missing."""
    code = (
        "import sys; from pathlib import Path; from worker.inference.conversion.stfpm import convert;"
        "convert(Path(sys.argv[1]), Path(sys.argv[2]));"
        "print([name for name in ('polygraphy', 'onnxoptimizer', 'onnx_graphsurgeon') if name in sys.modules])"
    )
    command = [sys.executable, "-c", code, str(MODEL), str(tmp_path / "inference.onnx")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    graph = onnx.load(tmp_path / "inference.onnx").graph
    kinds = [node.op_type for node in graph.node]
    assert kinds.count("Cast") == 1  # of the frame; the weights are float32 already, though stored as float16
    assert not {"Constant", "Reshape", "Shape", "Concat"} & set(kinds)
    assert {tensor.data_type for tensor in graph.initializer} <= {onnx.TensorProto.FLOAT, onnx.TensorProto.INT64}


@pytest.mark.parametrize(("small", "large"), [(1, 4), (2, 8), (16, 256), (5, 17), (8, 8)])
def test_the_upsampling_matrix_is_opencvs_bilinear(small: int, large: int) -> None:
    import cv2

    values = np.random.default_rng(small).random((small, 3)).astype(np.float32)
    expected = cv2.resize(values, (3, large), interpolation=cv2.INTER_LINEAR)
    assert np.allclose(upsampling(small, large) @ values, expected, atol=1e-6)


def test_the_shipped_model_converts_and_predicts_the_same(tmp_path: Path) -> None:
    convert(MODEL, tmp_path / "inference.onnx")
    bundle = dataclasses.replace(load_bundle(MODEL), onnx=tmp_path / "inference.onnx")
    pictures = models.images(4)
    expected = Predictor(bundle, open_engine(REFERENCE, bundle, CPU)).predict(pictures)
    found = Predictor(bundle, open_engine(Variant("openvino", "fp32"), bundle, CPU)).predict(pictures)
    for one, other in zip(found, expected, strict=True):
        assert one.score == pytest.approx(other.score, rel=1e-4)
        assert one.verdict is other.verdict
