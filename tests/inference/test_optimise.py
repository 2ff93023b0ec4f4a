"""Golden frames, ONNX and int8 added to real model folders; the command that does it and says what is best here."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import models
import onnx
import pytest

from worker.devices import Device
from worker.errors import BundleError
from worker.inference import optimise as optimising
from worker.inference.bundle import load_bundle, read_manifest
from worker.inference.engines import REFERENCE, Variant, open_engine
from worker.inference.optimise import optimise
from worker.inference.predictor import Predictor
from worker.inference.selection.golden import read_golden
from worker.inference.selection.measure import score

EVERY_FILE = ["golden.npz", "inference.onnx", "inference.int8.onnx"]


@pytest.fixture(scope="module")
def optimised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = models.copy_to(tmp_path_factory.mktemp("optimised") / "tiny", name="tiny", version="3", threshold=0.02)
    assert optimise(folder, models.images(24, 1), models.images(12, 2)) == EVERY_FILE
    return folder


def test_the_manifest_keeps_what_it_said_and_vouches_for_the_new_files(optimised: Path) -> None:
    manifest = read_manifest(optimised)
    assert manifest is not None
    assert (manifest.name, manifest.version, manifest.threshold) == ("tiny", "3", 0.02)
    assert set(EVERY_FILE) <= set(manifest.sha256)
    bundle = load_bundle(optimised)
    assert bundle.golden and bundle.onnx and bundle.onnx_int8  # noqa: PT018
    (optimised.parent / "altered").mkdir()
    for file in optimised.iterdir():
        (optimised.parent / "altered" / file.name).write_bytes(
            file.read_bytes()[: 1000 if "int8" in file.name else None]
        )
    with pytest.raises(BundleError, match=r"inference\.int8\.onnx was altered"):
        load_bundle(optimised.parent / "altered")


def test_the_golden_scores_are_paddles(optimised: Path) -> None:
    bundle = load_bundle(optimised)
    golden = read_golden(bundle)
    assert golden.scores is not None
    assert len(golden.frames) == 12  # half of the held-out ones, each with an altered copy
    again = score(open_engine(REFERENCE, bundle, Device("cpu")), golden.frames)
    assert again == pytest.approx(golden.scores, rel=1e-4)


def test_int8_keeps_the_first_and_the_last_two_convolutions_of_each_network(optimised: Path) -> None:
    graph = onnx.load(optimised / "inference.int8.onnx").graph
    made_by = {name: node.op_type for node in graph.node for name in node.output}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    kept = {node.name for node in convolutions if made_by.get(node.input[0]) != "DequantizeLinear"}
    in_order = [node.name for node in onnx.load(optimised / "inference.onnx").graph.node if node.op_type == "Conv"]
    assert kept == {in_order[place] for place in (0, 13, 14, 15, 28, 29)}


def test_int8_shifts_no_scores(optimised: Path) -> None:
    bundle, pictures = load_bundle(optimised), models.images(24, 3)
    expected = Predictor(bundle, open_engine(REFERENCE, bundle, Device("cpu"))).predict(pictures)
    found = Predictor(bundle, open_engine(Variant("openvino", "int8"), bundle, Device("cpu"))).predict(pictures)
    ratios = sorted(one.score / other.score for one, other in zip(found, expected, strict=True))
    assert ratios[len(ratios) // 2] == pytest.approx(1, abs=0.1)


def test_other_photographs_may_follow_and_what_merely_lies_there_is_not_vouched_for(
    optimised: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "again"
    shutil.copytree(optimised, folder)
    (folder / "notes.txt").write_text("mine")
    before = read_golden(load_bundle(folder)).frames
    optimise(folder, models.images(12, 8), models.images(12, 9))
    assert (read_golden(load_bundle(folder)).frames != before).any()
    manifest = read_manifest(folder)
    assert manifest is not None
    assert "notes.txt" not in manifest.sha256
    junk = models.copy_to(tmp_path / "bare")
    (junk / "inference.int8.onnx").write_text("junk")
    optimise(junk)
    assert load_bundle(junk).onnx_int8 is None


def test_a_folder_that_cannot_be_written_to_stays_as_it_was(
    optimised: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "full"
    shutil.copytree(optimised, folder)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(optimising.shutil, "copyfile", full)
    with pytest.raises(BundleError, match="cannot be written to: No space left on device"):
        optimise(folder)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_a_bare_export_gets_a_manifest_and_paddlexs_threshold(tmp_path: Path) -> None:
    folder = models.copy_to(tmp_path / "bare")
    assert optimise(folder) == ["inference.onnx"]
    bundle = load_bundle(folder)
    assert (bundle.identity, bundle.threshold) == ("bare@1", 0.01)
    assert bundle.onnx is not None
    assert bundle.golden is None


def test_the_command_converts_measures_and_names_the_best(tmp_path: Path) -> None:
    folder = models.copy_to(tmp_path / "tiny", threshold=0.01)
    (tmp_path / "good").mkdir()
    for number, image in enumerate(models.images(16)):
        (tmp_path / "good" / f"{number}.png").write_bytes(models.jpeg(image, ".png"))
    done = subprocess.run(
        [sys.executable, "-m", "worker", "optimize", str(folder), "--images", str(tmp_path / "good")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    engine, precision = done.stdout.split()
    assert engine in ("paddle", "openvino", "onnxruntime")
    assert precision in ("fp32", "bf16", "fp16", "int8")
    assert "golden.npz, inference.onnx, inference.int8.onnx" in done.stderr
    assert "chosen" in done.stderr


@pytest.mark.parametrize(("arguments", "said"), [(["/nowhere"], "there is no such folder"), ([], "Missing argument")])
def test_the_command_refuses_what_is_no_model(arguments: list[str], said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "worker", "optimize", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode
    assert said in done.stderr
    assert "Traceback" not in done.stderr
