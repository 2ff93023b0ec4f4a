"""What `line-worker train` does not take, and what it says then."""

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from training.trainings import QUICK, export, train

from worker.inference.predictor import Predictor


def test_what_is_no_training_is_left_alone(tmp_path: Path, good_parts: Path) -> None:
    mine = tmp_path / "m.training" / "history.csv"
    mine.parent.mkdir()
    mine.write_text("of my own")

    refused = train("--data", good_parts, "--output", tmp_path / "m", *QUICK, "--restart")

    assert refused.exit_code == 78
    assert "holds something that is no training" in refused.stderr
    assert mine.read_text() == "of my own"
    assert len(list(mine.parent.iterdir())) == 1


def test_a_model_does_not_lie_among_the_photographs(tmp_path: Path, good_parts: Path) -> None:
    refused = train("--data", good_parts, "--output", good_parts / "m", *QUICK)

    assert refused.exit_code == 78
    assert "it lies in the data set's own folder" in refused.stderr
    assert len(list(good_parts.iterdir())) == 10


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--data", "nowhere"], 66, "no such folder"),
        (["--data", "empty"], 66, "no image"),
        (["--data", "good", "--teacher", "none.npz"], 66, "no such file"),
        (["--data", "good", "--teacher", __file__], 66, "wanted a file that ends with .npz"),
        (["--data", "good", "--size", "64"], 78, "wanted WIDTHxHEIGHT"),
        (["--data", "good", "--size", "60x64"], 78, "size: wanted WIDTHxHEIGHT in pixels, multiples of 16"),
        (["--data", "good", "--layer-weights", "1,1"], 78, "layer-weights: wanted three numbers"),
        (["--data", "good", "--device", "cpu:0,cpu:1"], 78, "one device fits"),
        (["--data", "good", "--batch-size", "0"], 78, "batch-size: Input should be greater than or equal to 1"),
        (["--data", "good", "-o", f"Train.batch_size={'[' * 5000}"], 78, "cannot be understood"),
        (["--data", "parts"], 66, "parts: ng: not all of this looks like good parts"),
        (["--data", "."], 66, "not all of this looks like good parts"),
        (["--data", "good", "--epochs", "0"], 78, "epochs: "),
        (["--data", "good", "--learning-rate", "nan"], 78, "learning-rate: "),
        (["--data", "good", "--device", "gpu:0", "--fitter", "paddle"], 78, "install paddlepaddle-gpu"),
        (["--data", "good", "--device", "tpu"], 78, "the kind must be one of"),
        (["--data", "good", "-o", "Train.batch_size"], 78, "wanted Key.Sub=value"),
        (["--data", "good", "-o", "Train.bach_size=2"], 78, "there is no such key"),
        (["--data", "good", "-o", "Global.model=PatchCore"], 78, "no model of this kind"),
        (["--data", "good", "-c", "none.yaml"], 78, "none.yaml: cannot be read"),
        ([], 78, "--data is needed"),
    ],
)
def test_what_is_wrong_is_said(
    tmp_path: Path,
    good_parts: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    shutil.copytree(good_parts, tmp_path / "parts" / "ng")

    done = train("--output", tmp_path / "m", *arguments)

    assert done.exit_code == code, done.output
    assert said in done.stderr


@pytest.mark.parametrize("output", ["taken/0.png", "taken/0.png/below", "taken"])
def test_an_output_that_cannot_be_taken_is_told_before_the_fit(tmp_path: Path, good_parts: Path, output: str) -> None:
    shutil.copytree(good_parts, tmp_path / "taken")

    done = train("--data", good_parts, "--output", tmp_path / output, *QUICK)

    assert done.exit_code == 78
    assert "no model can be written there" in done.stderr or "nothing is ever overwritten" in done.stderr
    assert "step" not in done.stderr
    assert len(list((tmp_path / "taken").iterdir())) == 10


def test_an_earlier_training_with_another_recipe_is_not_gone_on_with(tmp_path: Path, good_parts: Path) -> None:
    arguments = ["--data", good_parts, "--output", tmp_path / "m", *QUICK]
    assert train(*arguments, "--epochs", 1).exit_code == 0
    shutil.rmtree(tmp_path / "m")

    refused = train(*arguments, "--epochs", 2)
    restarted = train(*arguments, "--epochs", 2, "--restart")

    assert refused.exit_code == 78
    assert "holds a training with other recipe" in refused.stderr
    assert restarted.exit_code == 0, restarted.output


def test_an_export_takes_no_altered_photograph(tmp_path: Path, good_parts: Path) -> None:
    assert train("--data", good_parts, "--output", tmp_path / "m", "--epochs", 1, *QUICK).exit_code == 0
    cv2.imwrite(str(good_parts / "3.png"), np.full((96, 96, 3), 128, np.uint8))

    done = export(tmp_path / "m.training", "--output", tmp_path / "again", "--no-graphs")

    assert done.exit_code == 66
    assert "3.png: is not the picture any more" in done.stderr
    assert not any((tmp_path / "again").iterdir())


def test_a_set_with_too_few_images_is_said(tmp_path: Path, good_parts: Path) -> None:
    for image in list(good_parts.iterdir())[2:]:
        image.unlink()

    done = train("--data", good_parts, "--output", tmp_path / "m", *QUICK)

    assert done.exit_code == 66
    assert "2 images that differ are not enough" in done.stderr


def test_an_image_that_cannot_be_read_is_named(tmp_path: Path, good_parts: Path) -> None:
    (good_parts / "3.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")

    done = train("--data", good_parts, "--output", tmp_path / "m", *QUICK)

    assert done.exit_code == 66
    assert "3.png" in done.stderr


def test_a_file_name_that_is_not_text_is_said(tmp_path: Path, good_parts: Path) -> None:
    (good_parts / "0.png").rename(os.fsdecode(os.fsencode(good_parts) + b"/caf\xe9.png"))

    refused = train("--data", good_parts, "--output", tmp_path / "bundle", *QUICK)

    assert refused.exit_code == 66, refused.output
    assert r"caf\udce9.png: the name is not UTF-8" in refused.output.replace("\n", "")


def test_a_disk_that_fills_up_is_said_and_leaves_no_half_model(tmp_path: Path, good_parts: Path) -> None:
    output = tmp_path / "bundle"
    command = ["train", "--data", str(good_parts), "--output", str(output), "--epochs", "2", *QUICK]

    def with_room_for(size: int) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "worker", *command],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY)),
        )

    refused = with_room_for(5 << 20)
    assert refused.returncode == 78, refused.stderr
    assert "cannot be written" in refused.stderr
    assert not any(output.iterdir())
    done = with_room_for(1 << 30)
    assert done.returncode == 0, done.stderr
    assert Predictor.open(output)


def test_an_output_whose_name_is_not_text_is_told_before_the_fit(tmp_path: Path, good_parts: Path) -> None:
    output = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")

    refused = train("--data", good_parts, "--output", output, *QUICK)

    assert refused.exit_code == 78, refused.output
    assert "the name is not UTF-8" in refused.output.replace("\n", "")
    assert "step" not in refused.output
