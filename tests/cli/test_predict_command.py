"""`line-worker predict` and `get-pipeline-config`, in PaddleX's spelling and in ours."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import models
import pytest
from PIL import Image as PillowImage

from .conftest import Run


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    (folder / "more").mkdir()
    for number, image in enumerate(models.images(6, seed=3)):
        (folder / f"part{number}.png").write_bytes(models.jpeg(image, ".png"))
    (folder / "more" / "part0.png").write_bytes(models.jpeg(models.images(1)[0], ".png"))
    return folder


MODEL = ("--model_dir", str(models.bare_export()))


def test_one_picture_in_paddlexs_spelling(run: Run, photos: Path, tmp_path: Path) -> None:
    picture = photos / "part1.png"
    done = run(
        "predict", "--pipeline", "anomaly_detection", "--input", str(picture), "--device", "cpu",
        "--save_path", str(tmp_path / "output"), "--use_hpip", *MODEL,
    )  # fmt: skip

    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout)["res"]
    assert (printed["input_path"], printed["pred"]) == (str(picture), "...")
    saved = json.loads((tmp_path / "output" / "part1_res.json").read_text())
    assert saved["verdict"] == printed["verdict"]
    with PillowImage.open(tmp_path / "output" / "part1_res.png") as mask:
        assert mask.size == (models.SIDE, models.SIDE)


def test_a_folder_in_our_spelling_says_in_the_end_what_was_found(run: Run, photos: Path, tmp_path: Path) -> None:
    done = run("predict", "--input", str(photos), "--batch-size", "4", "--save-path", str(tmp_path), *MODEL)

    assert done.exit_code == 0, done.output
    assert len(done.stdout.splitlines()) == 7
    assert "7 pictures in" in done.stderr
    assert "(paddle fp32)" in done.stderr
    assert (tmp_path / "2" / "part0_res.png").exists(), "the second of a name does not take the first one's place"
    assert len(list(tmp_path.rglob("*_res.png"))) == len(list(tmp_path.rglob("*_res.json"))) == 7


def test_a_broken_picture_is_told_and_the_others_go_on(run: Run, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no picture")

    done = run("predict", "--input", str(tmp_path / "broken.jpg"), "--input", str(photos / "part1.png"), *MODEL)

    assert done.exit_code == 65
    assert "broken.jpg: no picture" in done.stderr
    told = [json.loads(line)["res"] for line in done.stdout.splitlines()]
    assert [one["verdict"] == "INVALID" for one in told] == [True, False]
    assert "failed 1" in done.stderr


def test_the_pipelines_file_is_written_edited_and_used(run: Run, photos: Path, tmp_path: Path) -> None:
    done = run("get-pipeline-config", "anomaly_detection", "--save_path", str(tmp_path / "my_path"))
    assert done.exit_code == 0, done.output
    file = tmp_path / "my_path" / "anomaly_detection.yaml"
    assert done.stdout.strip() == str(file)
    file.write_text(file.read_text().replace("model_dir: null", f"model_dir: {models.bare_export()}\n    threshold: 9"))

    by_file = run("predict", "--pipeline", str(file), "--input", str(photos / "part1.png"), "--device", "cpu")
    by_flag = run(
        "predict", "--pipeline", str(file), "--input", str(photos / "part1.png"), "--device", "cpu", "--threshold", "0"
    )

    assert json.loads(by_file.stdout)["res"]["verdict"] == "OK"
    assert json.loads(by_flag.stdout)["res"]["verdict"] == "NG", "flags win over the file"
    again = run("get-pipeline-config", "anomaly_detection", "--save_path", str(tmp_path / "my_path"))
    assert again.exit_code == 78
    assert "is there already" in again.stderr


def test_one_file_for_several_pictures_is_refused(run: Run, photos: Path, tmp_path: Path) -> None:
    done = run("predict", "--input", str(photos), "--save_path", str(tmp_path / "one.png"), *MODEL)

    assert done.exit_code == 78
    assert "one file for 7 pictures" in done.stderr


def test_a_result_that_cannot_be_saved_does_not_end_the_others(run: Run, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "part1_res.png").mkdir()

    done = run("predict", "--input", str(photos), "--save_path", str(tmp_path / "out"), *MODEL)

    assert done.exit_code == 65
    assert "part1_res.png cannot be written" in done.stderr
    assert "failed 1" in done.stderr
    assert len(list(tmp_path.rglob("*_res.json"))) == 6


def test_a_folder_may_have_a_dot_in_its_name(run: Run, photos: Path, tmp_path: Path) -> None:
    done = run("predict", "--input", str(photos / "part1.png"), "--save_path", str(tmp_path / "out.v2"), *MODEL)

    assert done.exit_code == 0, done.output
    assert sorted(path.suffix for path in (tmp_path / "out.v2").iterdir()) == [".json", ".png"]


def test_on_a_terminal_the_bar_leaves_the_results_to_standard_output(photos: Path, tmp_path: Path) -> None:
    """Standard error is a terminal, standard output a file: as in `predict … > results`."""
    terminal, end = pty.openpty()
    command = [sys.executable, "-m", "worker", "predict", "--input", str(photos), "--device", "cpu", *MODEL]
    with (tmp_path / "results").open("wb") as results:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=results, stderr=end)
    os.close(end)
    shown = b""
    with suppress(OSError):  # a terminal whose other end is closed ends so
        while piece := os.read(terminal, 65_536):
            shown += piece
    os.close(terminal)

    assert process.wait(60) == 0
    assert b"inspecting" in shown
    assert len([json.loads(line) for line in (tmp_path / "results").read_text().splitlines()]) == 7


def test_a_style_for_people(run: Run, photos: Path, tmp_path: Path) -> None:
    target = tmp_path / "looked-at.jpg"
    done = run(
        "predict", "--input", str(photos / "part1.png"), "--style", "overlay", "--save_path", str(target), *MODEL
    )

    assert done.exit_code == 0, done.output
    assert [path.name for path in tmp_path.iterdir()] == ["looked-at.jpg"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--input", "x.jpg", "--device", "gpu:0", *MODEL), 78, "install"),
        (("--input", "x.jpg", "--model_dir", "nowhere"), 66, "no such folder"),
        (("--input", "x.jpg", "--pipeline", "OCR"), 78, "anomaly_detection"),
        (("--input", "x.jpg", "--batch_size", "0", *MODEL), 2, "batch-size"),
        ((), 2, "--input"),
    ],
)
def test_what_cannot_be_done_says_why(arguments: tuple[str, ...], code: int, said: str, run: Run) -> None:
    done = run("predict", *arguments)

    assert done.exit_code == code, done.output
    assert said in done.stderr
