"""`line-worker dataset check`, from folders with every sort of trouble to its report, its picture and its exit code."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from worker.cli import main

from .pictures import mvtec, noise, part, spot, write


def check(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["dataset", "check", *map(str, arguments)])


def findings(done: Result) -> dict[str, tuple[str, list[str]]]:
    found = json.loads(done.stdout)["line_worker"]["findings"]
    return {f"{one['topic']}/{one['weight']}": (one["message"], one["lines"]) for one in found}


def test_a_good_set_passes(tmp_path: Path) -> None:
    for seq in range(24):
        write(tmp_path / "train" / "good" / f"{seq}.png", part(seq)[0])
    write(tmp_path / "test" / "good" / "1.png", part(100)[0])
    image, mask = part(101, "stain")
    write(tmp_path / "test" / "stain" / "1.png", image)
    write(tmp_path / "ground_truth" / "stain" / "1_mask.png", mask)

    done = check(tmp_path)

    assert done.exit_code == 0, done.output
    assert "read as mvtec" in done.stdout
    assert "sizes: all 128×128" in done.stdout
    assert "in colour: 26, grey: 0" in done.stdout
    assert done.stdout.endswith("passed: errors 0, warnings 0\n")


def test_the_result_has_paddlex_fields_and_pictures(tmp_path: Path) -> None:
    folder, output = mvtec(tmp_path / "set"), tmp_path / "out"
    before = sorted(folder.rglob("*"))

    done = check(folder, "--output", output)

    assert done.exit_code == 0, done.output
    result: dict[str, Any] = json.loads((output / "check_dataset_result.json").read_text())
    assert (result["done_flag"], result["check_pass"]) == (True, True)
    assert (result["show_type"], result["dataset_type"], result["dataset_path"]) == ("image", "SegDataset", "set")
    attributes = result["attributes"]
    assert (attributes["train_samples"], attributes["val_samples"], attributes["num_classes"]) == (3, 3, 1)
    shown = attributes["train_sample_paths"] + attributes["val_sample_paths"]
    assert len(shown) == 6
    assert all(cv2.imread(str(output / path)) is not None for path in shown)
    assert result["line_worker"]["counts"] == {"train": {"good": 3}, "test": {"crack": 1, "dent": 1, "good": 1}}
    sheet = cv2.imread(str(output / "contact_sheet.jpg"))
    assert sheet is not None
    assert (sheet[:, :, 2].astype(int) - sheet[:, :, 1] > 100).any()  # a mask's outline, red
    assert sorted(folder.rglob("*")) == before


def test_masks_of_0_and_1_are_two_classes_to_paddlex(tmp_path: Path) -> None:
    write(tmp_path / "set" / "a.png", noise(1))
    write(tmp_path / "set" / "b.png", noise(2))
    write(tmp_path / "set" / "m.png", spot(1))
    (tmp_path / "set" / "train.txt").write_text("a.png a.png\n")
    (tmp_path / "set" / "val.txt").write_text("b.png m.png\n")

    assert json.loads(check(tmp_path / "set", "--json").stdout)["attributes"]["num_classes"] == 2


def test_every_sort_of_trouble_is_told(tmp_path: Path) -> None:
    folder = mvtec(tmp_path / "set")
    truth = folder / "ground_truth"
    for number in range(30):
        write(folder / "train" / "good" / f"part{number}.png", part(number, size=256)[0])
    write(folder / "train" / "good" / "stained.png", part(60, "stain", size=256)[0])
    write(folder / "train" / "good" / "grey.png", part(61, size=256)[0][:, :, 1])
    shutil.copy(folder / "train" / "good" / "part4.png", folder / "train" / "good" / "again.png")
    shutil.copy(folder / "train" / "good" / "part5.png", folder / "test" / "crack" / "leak.png")
    write(folder / "test" / "good" / "copy.jpg", part(6, size=256)[0], cv2.IMWRITE_JPEG_QUALITY, 85)
    cut = write(folder / "test" / "good" / "cut.png", noise(50))
    cut.write_bytes(cut.read_bytes()[:100])
    (folder / "test" / "good" / "\x1b[31m[red]\udcff.png").write_bytes(b"")
    (folder / "test" / "good" / "text.jpg").write_text("no image")
    write(folder / "beside.png", noise(51))
    write(truth / "crack" / "0_mask.png", spot(255, 10, 10))
    write(truth / "crack" / "leak_mask.png", np.full((256, 256), 255, np.uint8) - part(5, size=256)[0][:, :, 0])
    write(truth / "dent" / "0_mask.png", spot(0))
    write(truth / "good" / "0_mask.png", spot())
    (truth / "good" / "copy_mask.png").write_bytes(b"\x89PNG")
    write(folder / "test" / "dent" / "bare.png", noise(52))

    done = check(folder, "--json")

    assert done.exit_code == 65
    found = findings(done)
    assert json.loads(done.stdout)["check_pass"] is False
    assert sorted(line.partition(":")[0] for line in found["unreadable/error"][1]) == [
        "test/good/\\x1b[31m[red]\\udcff.png",
        "test/good/cut.png",
        "test/good/text.jpg",
    ]
    wrong = found["masks/error"][1]
    assert any(line == "test/crack/0.png: its mask has 10×10 pixels, the image 40×32" for line in wrong)
    assert any(line == "test/dent/0.png: a defect whose mask is black all over" for line in wrong)
    assert any(line == "test/good/0.png: a good image whose mask marks an anomaly" for line in wrong)
    assert any(line.startswith("test/good/copy.jpg: its mask cannot be read: ") for line in wrong)
    assert len(wrong) == 4
    open_points = found["masks/warning"][1]
    assert any(line.startswith("test/crack/leak.png: its mask has ") for line in open_points)
    assert any(line.startswith("test/dent/bare.png: a defect without a mask") for line in open_points)
    assert found["strays/warning"][1] == ["beside.png"]
    assert found["duplicates/warning"][1] == ["train/good/again.png = train/good/part4.png"]
    assert found["leaks/warning"][1] == ["train/good/part5.png = test/crack/leak.png (said to be crack and good)"]
    assert [line.partition(" (")[0] for line in found["near-duplicates/warning"][1]] == [
        "test/good/copy.jpg ≈ train/good/part6.png"
    ]
    assert "train/good/stained.png" in {line.partition(":")[0] for line in found["outliers/warning"][1]}
    assert "colour/warning" in found

    told = check(folder, "--output", tmp_path / "out")
    assert told.exit_code == 65
    assert "error  images that cannot be read: 3" in told.stdout
    assert "\x1b" not in told.stdout
    assert "failed: errors 2, warnings " in told.stdout
    assert json.loads((tmp_path / "out" / "check_dataset_result.json").read_text())["err_type"] == "CheckFailedError"


def test_lines_of_lists_are_told_together(tmp_path: Path) -> None:
    write(tmp_path / "a.png", noise(1))
    (tmp_path / "train.txt").write_text("a.png\nb.png b.png\n\nc.png c.png\n")

    done = check(tmp_path, "--json")

    assert done.exit_code == 65
    assert [line.partition("train.txt, ")[2].partition(":")[0] for line in findings(done)["lists/error"][1]] == [
        "line 2",
        "line 4",
    ]


def test_a_plain_folder_with_defects_in_it_does_not_pass(tmp_path: Path) -> None:
    write(tmp_path / "good" / "1.png", noise(1))
    write(tmp_path / "NG" / "1.png", noise(2))

    done = check(tmp_path, "--json")

    assert done.exit_code == 65
    assert findings(done)["plain/error"][1] == ["NG"]
    assert "few/warning" in findings(done)


def test_nothing_that_can_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(b"")

    done = check(tmp_path, "--output", tmp_path.parent / f"{tmp_path.name}-out")

    assert done.exit_code == 65
    assert "there is no good image to learn from that can be read" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nowhere"], 66, "nowhere: there is no such folder of images"),
        (["file"], 66, "file: there is no such folder of images"),
        (["empty"], 66, "empty: no image is in it"),
        (["set", "--layout", "plain", "--output", "set/out"], 78, "in the data set's own folder"),
        (["set", "--output", "file"], 78, "file: cannot be written"),
        (["set", "--output", "empty/../set"], 78, "in the data set's own folder"),
        (["set", "--output", "."], 78, "it is not empty"),
        (["set", "--layout", "paddlex"], 66, "its lists train.txt and val.txt name no image"),
        (["set", "--layout", "coco"], 2, "Invalid value for '--layout'"),
    ],
)
def test_what_is_wrong_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, said: str
) -> None:
    mvtec(tmp_path / "set")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("kept")
    monkeypatch.chdir(tmp_path)

    done = check(*arguments)

    assert done.exit_code == code, done.output
    assert said in done.stderr
    assert (tmp_path / "file").read_text() == "kept"


def test_limits_hold_while_looking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "1.png", noise(1))
    write(tmp_path / "2.png", noise(2, 200, 200))
    monkeypatch.setenv("LINE_LIMITS__MAX_PIXELS", "10000")

    done = check(tmp_path, "--json")

    assert done.exit_code == 65
    assert "limits.max_pixels is 10000" in findings(done)["unreadable/error"][1][0]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_told(tmp_path: Path) -> None:
    write(tmp_path / "set" / "1.png", noise(1))
    closed = tmp_path / "set" / "closed"
    closed.mkdir(mode=0)

    done = check(tmp_path / "set", "--json")

    assert done.exit_code == 65
    assert findings(done)["closed/error"][1] == ["closed"]


def test_a_terminal_without_all_letters_is_served(tmp_path: Path) -> None:
    write(tmp_path / "größe" / "1.png", noise(1))
    command = [sys.executable, "-m", "worker", "dataset", "check", str(tmp_path)]

    done = subprocess.run(command, capture_output=True, check=False, env=os.environ | {"PYTHONIOENCODING": "ascii"})

    assert done.returncode == 0
    assert b"sizes: all 40\\xd732" in done.stdout
    assert done.stderr == b""
