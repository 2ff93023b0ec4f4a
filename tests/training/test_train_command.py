"""`line-worker train`, from a folder to a model that serves."""

from pathlib import Path

import cv2
import pytest
from click.testing import CliRunner

from worker.capture.generated import GeneratedLine
from worker.cli import main
from worker.inference.bundle import Manifest
from worker.inference.predictor import Predictor


@pytest.fixture
def good_parts(tmp_path: Path) -> Path:
    folder = tmp_path / "good"
    folder.mkdir()
    for seq in range(4):
        cv2.imwrite(str(folder / f"{seq}.png"), GeneratedLine(3, size=96).render(seq, "good").image[:, :, ::-1])
    return folder


def test_a_folder_becomes_a_calibrated_model(tmp_path: Path, good_parts: Path) -> None:
    output = tmp_path / "bundle"
    arguments = ["--data", str(good_parts), "--teacher", "random", "--output", str(output)]

    done = CliRunner().invoke(main, ["train", *arguments, "--steps", "20", "--batch-size", "2"])

    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == str(output)
    told = [line.partition(",")[0] for line in done.stderr.splitlines() if line.startswith("step ")]
    assert told == [f"step {step} of 20" for step in range(2, 21, 2)]
    assert "estimate" in done.stderr  # one held-out image promises nothing
    manifest = Manifest.model_validate_json((output / "bundle.json").read_bytes())
    assert manifest.score_statistics["promised"] == 0.0
    good = manifest.image_statistics
    assert good is not None
    assert (good.images, good.width, good.height) == (4, 96, 96)
    assert good.brightness
    assert good.sharpness
    prediction = Predictor.open(output).predict([GeneratedLine(3).part(0).image])[0]
    assert prediction.threshold == manifest.threshold


@pytest.mark.parametrize(
    ("data", "teacher", "said"),
    [
        ("nowhere", "random", "no such folder"),
        ("", "random", "no image"),
        ("good", "none.npz", "no such file"),
        ("good", __file__, "not an .npz file\n"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, good_parts: Path, data: str, teacher: str, said: str) -> None:
    folder = tmp_path / data if data else tmp_path / "empty"
    (tmp_path / "empty").mkdir()

    done = CliRunner().invoke(
        main, ["train", "--data", str(folder), "--teacher", teacher, "--output", str(tmp_path / "bundle")]
    )

    assert done.exit_code == 66
    assert said in done.stderr


@pytest.mark.parametrize("output", ["good/0.png", "good/0.png/below"])
def test_an_output_that_cannot_be_written_is_told_before_the_fit(tmp_path: Path, good_parts: Path, output: str) -> None:
    arguments = ["--data", str(good_parts), "--teacher", "random", "--output", str(tmp_path / output)]

    done = CliRunner().invoke(main, ["train", *arguments])

    assert done.exit_code == 78
    assert "no model can be written there" in done.stderr
    assert "step" not in done.stderr
