"""Exports for other runtimes: run by these alone they say what the predictor says; nothing half or wrong is written."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import models
import numpy as np
import pytest

from worker.demo import MODEL
from worker.devices import Device
from worker.errors import BundleError, EngineRefused, SettingsError
from worker.inference import edge
from worker.inference.bundle import Bundle, load_bundle
from worker.inference.conversion import convert_in_own_process
from worker.inference.edge import Request, export_model
from worker.inference.engines import REFERENCE, open_engine
from worker.inference.optimise import optimise
from worker.inference.predictor import Predictor
from worker.inference.selection.golden import generated, read_golden
from worker.inference.selection.measure import score
from worker.settings import GateSettings
from worker.training.framework import paddle
from worker.types import Image, Prediction

LARGEST_ERROR = {"fp32": 1e-4, "fp16": 0.02, "int8": 0.3}
EXPORTS = [
    Request("onnx"),
    Request("onnx", "int8"),
    Request("openvino"),
    Request("openvino", "fp16"),
    Request("openvino", "int8"),
]
# A folder whose bin/ has the paddle_lite_opt and the python of an environment with paddlelite and OpenCV.
PADDLE_LITE = os.environ.get("PADDLE_LITE_ENVIRONMENT", "")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A model with golden frames and graphs; the student is far enough off that pictures are above the threshold."""
    folder = models.copy_to(tmp_path_factory.mktemp("edge") / "tiny", name="tiny", version="3", threshold=0.01)
    optimise(folder, models.images(24, 1), models.images(12, 2))
    return load_bundle(folder)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Image]:
    folder = tmp_path_factory.mktemp("pictures")
    made = {folder / f"{number}.png": image for number, image in enumerate(models.images(6, 3))}
    for file, image in made.items():
        file.write_bytes(models.jpeg(image, ".png"))
    return made


@pytest.fixture(scope="module")
def expected(bundle: Bundle, pictures: dict[Path, Image]) -> list[Prediction]:
    return Predictor(bundle, open_engine(REFERENCE, bundle, Device("cpu"))).predict(list(pictures.values()))


def predict(folder: Path, pictures: dict[Path, Image], python: str = sys.executable) -> list[tuple[float, str]]:
    """What the exported `predict.py` says of the pictures, from another folder and with nothing of ours at hand."""
    command = [python, "-I", str(folder / "predict.py"), *map(str, pictures)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return [(answer["score"], answer["verdict"]) for answer in answers]


def agree(folder: Path, pictures: dict[Path, Image], expected: list[Prediction], error: float, python: str) -> None:
    for file in pictures:
        file.with_suffix(".mask.png").unlink(missing_ok=True)
    found = predict(folder, pictures, python)
    assert {prediction.verdict for prediction in expected} == {"OK", "NG"}
    assert [value for value, _ in found] == pytest.approx([one.score for one in expected], rel=error)
    for file, (_, verdict), one in zip(pictures, found, expected, strict=True):
        assert verdict == one.verdict
        mask = cv2.imread(str(file.with_suffix(".mask.png")), cv2.IMREAD_UNCHANGED)
        assert mask.shape == one.label_map.shape
        differing = np.mean(mask != one.label_map)
        assert differing <= (0 if error <= 1e-4 else 0.05)


@pytest.mark.parametrize("request_", EXPORTS, ids=lambda request: f"{request.format}-{request.precision}")
def test_run_by_its_runtime_alone_an_export_says_what_the_predictor_says(
    request_: Request, bundle: Bundle, pictures: dict[Path, Image], expected: list[Prediction], tmp_path: Path
) -> None:
    exported = export_model(bundle, tmp_path / "edge", request_, GateSettings())
    assert (exported.frames, exported.origin) == (12, "golden frames")
    assert "worker" not in (tmp_path / "edge" / "predict.py").read_text()
    agree(tmp_path / "edge", pictures, expected, LARGEST_ERROR[request_.precision], sys.executable)


def test_the_description_has_what_a_program_needs(bundle: Bundle, tmp_path: Path) -> None:
    export_model(bundle, tmp_path / "edge", Request("onnx"), GateSettings())
    told = json.loads((tmp_path / "edge" / "model.json").read_text())
    side = models.SIDE
    assert (told["model"], told["format"], told["precision"], told["file"]) == ("tiny@3", "onnx", "fp32", "model.onnx")
    assert told["input"] == {
        "name": "image",
        "dtype": "uint8",
        "shape": ["N", side, side, 3],
        "layout": "NHWC",
        "colour": "RGB",
    }
    assert told["output"]["shape"] == ["N", 1, side, side]
    assert told["resize"] == {"width": side, "height": side, "interpolation": "LINEAR"}
    assert (told["threshold"], told["opening_radius"], told["normalise"]) == (0.01, 4, None)
    assert told["verified"]["frames"] == 12
    assert list(told["sha256"]) == ["model.onnx"]
    assert sorted(file.name for file in (tmp_path / "edge").iterdir()) == ["model.json", "model.onnx", "predict.py"]


def test_a_bare_export_is_converted_and_compared_on_generated_patterns(
    pictures: dict[Path, Image], expected: list[Prediction], tmp_path: Path
) -> None:
    exported = export_model(load_bundle(models.bare_export()), tmp_path / "edge", Request("openvino"), GateSettings())
    assert exported.origin == "generated patterns"
    agree(tmp_path / "edge", pictures, expected, 1e-4, sys.executable)


def test_given_images_are_compared_by_instead(bundle: Bundle, tmp_path: Path) -> None:
    exported = export_model(bundle, tmp_path / "edge", Request("onnx"), GateSettings(), models.images(5, 9))
    assert (exported.frames, exported.origin) == (10, "images")


def test_a_graph_that_says_something_else_is_not_written(bundle: Bundle, tmp_path: Path) -> None:
    wrong = dataclasses.replace(bundle, onnx=bundle.onnx_int8)
    with pytest.raises(EngineRefused, match=r"onnx fp32 of .*: a score is .* off: gate.max_error_fp32 .*; not written"):
        export_model(wrong, tmp_path / "edge", Request("onnx"), GateSettings())
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "edge").mkdir()
    (tmp_path / "edge" / "notes.txt").write_text("mine")
    (tmp_path / "file").write_text("mine too")
    for taken in ("edge", "file"):
        with pytest.raises(SettingsError, match="something is there already"):
            export_model(bundle, tmp_path / taken, Request("onnx"), GateSettings())
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["edge", "file", "notes.txt"]
    (tmp_path / "edge" / "notes.txt").unlink()
    export_model(bundle, tmp_path / "edge", Request("onnx"), GateSettings())  # an empty folder will do


def test_a_missing_package_is_named_before_anything_is_made(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge.formats, "find_spec", lambda _name: None)
    bare = load_bundle(models.bare_export())
    for model, request, missing in (
        (bundle, Request("onnx"), r"takes onnxruntime: pip install 'line-worker\[onnxruntime\]'"),
        (bundle, Request("openvino"), r"takes openvino: pip install 'line-worker\[openvino\]'"),
    ):
        with pytest.raises(SettingsError, match=missing):
            export_model(model, tmp_path / "edge", request, GateSettings())
    monkeypatch.setattr(edge.formats, "find_spec", lambda name: None if name == "paddle2onnx" else name)
    with pytest.raises(SettingsError, match=r"takes paddle2onnx: pip install 'line-worker\[export\]'"):
        export_model(bare, tmp_path / "edge", Request("onnx"), GateSettings())
    assert list(tmp_path.iterdir()) == []


def test_a_precision_that_is_not_to_be_had_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="onnx is exported in fp32, int8, not fp16"):
        export_model(bundle, tmp_path / "edge", Request("onnx", "fp16"), GateSettings())
    without = dataclasses.replace(bundle, onnx_int8=None)
    for name in ("onnx", "openvino"):
        with pytest.raises(BundleError, match="no ONNX graph for int8: `line-worker optimize` --images"):
            export_model(without, tmp_path / "edge", Request(name, "int8"), GateSettings())


def rewrite(folder: Path, output: Path) -> None:
    """In a process of its own, since it leaves paddle in another mode."""
    order = {"folder": str(folder), "output": str(output)}
    convert_in_own_process("worker.inference.edge.legacy", order, folder)


def test_paddle_2s_format_computes_what_paddle_3s_does(tmp_path: Path) -> None:
    """The demo's model has weights in float16, powers of the layers' distances, and a factor on its output."""
    bundle = load_bundle(MODEL)
    rewrite(MODEL, tmp_path)
    names = {"graph": tmp_path / "inference.pdmodel", "parameters": tmp_path / "inference.pdiparams"}
    golden = read_golden(bundle)
    found = score(open_engine(REFERENCE, dataclasses.replace(bundle, **names), Device("cpu")), golden.frames[:8])
    assert found == pytest.approx(golden.scores[:8], rel=1e-5)


def test_batch_normalisation_is_written_in_paddle_2s_format_too(tmp_path: Path) -> None:
    """PaddleX's own exports keep it where ours have it folded into the convolutions."""
    from worker.training.network import Backbone, Stfpm

    paddle.seed(3)
    network = Stfpm(Backbone(folded=False), Backbone(folded=False))
    network.eval()
    source, output = tmp_path / "source", tmp_path / "output"
    output.mkdir()
    spec = paddle.static.InputSpec([None, 3, models.SIDE, models.SIDE], "float32", "x")
    paddle.jit.save(network, str(source / "inference"), input_spec=[spec])
    rewrite(source, output)
    bundle = load_bundle(models.bare_export())
    frames = generated((models.SIDE, models.SIDE), 4)
    found = [
        score(
            open_engine(REFERENCE, dataclasses.replace(bundle, graph=graph, parameters=parameters), Device("cpu")),
            frames,
        )
        for graph, parameters in (
            (source / "inference.json", source / "inference.pdiparams"),
            (output / "inference.pdmodel", output / "inference.pdiparams"),
        )
    ]
    assert found[1] == pytest.approx(found[0], rel=1e-4)


def test_an_operator_that_cannot_be_written_in_paddle_2s_format_is_named(tmp_path: Path) -> None:
    network = paddle.nn.Sequential(paddle.nn.Conv2D(3, 1, 1), paddle.nn.Tanh())
    spec = paddle.static.InputSpec([None, 3, 8, 8], "float32", "x")
    paddle.jit.save(network, str(tmp_path / "inference"), input_spec=[spec])
    with pytest.raises(BundleError, match=r"the operator pd_op\.tanh is not one that can be written"):
        rewrite(tmp_path, tmp_path)


def test_without_paddle_lites_converter_the_export_says_where_it_comes_from(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SettingsError, match="paddle_lite_opt is not here: it comes with `pip install paddlelite`"):
        export_model(bundle, tmp_path / "edge", Request("paddle-lite"), GateSettings())
    with pytest.raises(SettingsError, match="nowhere/opt is not here"):
        export_model(
            bundle, tmp_path / "edge", Request("paddle-lite", converter=tmp_path / "nowhere/opt"), GateSettings()
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", ["exit 1", "exit 0"])  # it says 0 too where it has written nothing
def test_what_paddle_lites_converter_says_last_is_passed_on(ending: str, bundle: Bundle, tmp_path: Path) -> None:
    converter = tmp_path / "opt"
    converter.write_text(
        f"#!/bin/sh\necho 'Loading topology data'\necho 'Error: op fancy is not supported'\n{ending}\n"
    )
    converter.chmod(0o755)
    with pytest.raises(BundleError, match=r"no model came of it.*Error: op fancy is not supported"):
        export_model(bundle, tmp_path / "edge", Request("paddle-lite", converter=converter), GateSettings())
    assert list(tmp_path.iterdir()) == [converter]


@pytest.mark.skipif(not PADDLE_LITE, reason="PADDLE_LITE_ENVIRONMENT names no environment with paddlelite")
def test_run_by_paddle_lite_alone_an_export_says_what_the_predictor_says(
    bundle: Bundle, pictures: dict[Path, Image], expected: list[Prediction], tmp_path: Path
) -> None:
    request = Request("paddle-lite", target="x86", converter=Path(PADDLE_LITE, "bin", "paddle_lite_opt"))
    export_model(bundle, tmp_path / "edge", request, GateSettings())
    agree(tmp_path / "edge", pictures, expected, 1e-4, str(Path(PADDLE_LITE, "bin", "python")))
