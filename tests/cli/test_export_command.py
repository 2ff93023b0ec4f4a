"""`line-worker export` of a model folder; that of a training is tested beside the training."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import models
import pytest
from click.testing import CliRunner, Result
from small_disk import on_small_disk

from worker.cli import main


def export(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["export", *map(str, arguments)])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with an ONNX graph, so that nothing has to be converted."""
    from worker.inference.optimise import optimise

    folder = models.copy_to(tmp_path_factory.mktemp("cli") / "part", name="part", version="1", threshold=0.01)
    optimise(folder)
    return folder


def test_a_model_is_exported_and_compared_with_paddle(model: Path, tmp_path: Path) -> None:
    done = export(model, "--output", tmp_path / "edge", "--format", "onnx")
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == str(tmp_path / "edge")
    assert "compared with paddle fp32 on 64 frames (generated patterns): rank correlation 1.00000" in done.stderr
    assert json.loads((tmp_path / "edge" / "model.json").read_text())["model"] == "part@1"


def test_images_of_ones_own_are_compared_by(model: Path, tmp_path: Path) -> None:
    (tmp_path / "good").mkdir()
    for number, image in enumerate(models.images(4)):
        (tmp_path / "good" / f"{number}.png").write_bytes(models.jpeg(image, ".png"))
    done = export(model, "--output", tmp_path / "edge", "--format", "openvino", "--images", tmp_path / "good")
    assert done.exit_code == 0, done.output
    assert "on 8 frames (images)" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "is a model already: say with --format what to make of it, onnx, openvino, paddle-lite"),
        (["--format", "onnx", "--layer-weights", "1,1,1"], "--layer-weights has no effect on an export of a model"),
        (["--format", "onnx", "--no-graphs"], "--graphs has no effect on an export of a model"),
        (["--precision", "int8"], "--precision has no effect on an export of a training"),
        (["--format", "onnx", "--precision", "fp16"], "onnx is exported in fp32, int8, not fp16"),
        (["--format", "paddle-lite", "--paddle-lite-opt", "/nowhere"], "/nowhere is not here: it comes with"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(arguments: list[str], says: str, model: Path, tmp_path: Path) -> None:
    done = export(model, "--output", tmp_path / "edge", *arguments)
    assert done.exit_code == 78
    assert says in done.output
    assert not (tmp_path / "edge").exists()


def test_a_training_is_no_model(model: Path, tmp_path: Path) -> None:
    (tmp_path / "part.training").mkdir()
    (tmp_path / "part.training" / "plan.json").write_text("{}")
    done = export(tmp_path / "part.training", "--output", tmp_path / "edge", "--format", "onnx")
    assert done.exit_code == 78
    assert "is a training: export a model folder from it first, without --format" in done.output


@pytest.mark.parametrize("scratch", ["on the full disk", "elsewhere"])
def test_a_full_disk_leaves_nothing_half(scratch: str, model: Path, tmp_path: Path) -> None:
    """Wherever it fills up: where the export is written, or already where it is made."""
    disk, rest = tmp_path / "disk", tmp_path / "rest"
    rest.mkdir()
    code = (
        "import os, sys; from pathlib import Path; from worker.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "finally: print(sorted(path.name for path in Path(os.environ['DISK']).rglob('*')))"
    )
    command = [*on_small_disk(disk, "8m"), sys.executable, "-c", code, "export", str(model), "--format", "openvino"]
    environment = os.environ | {"DISK": str(disk), "TMPDIR": str(disk if scratch == "on the full disk" else rest)}
    done = subprocess.run(
        [*command, "--output", str(disk / "edge")], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 78, done.stderr
    assert "Error: " in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout.strip() == "[]"
