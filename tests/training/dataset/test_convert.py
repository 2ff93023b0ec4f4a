"""A data set goes to another layout and back with every image's bytes, part, kind and mask."""

import hashlib
import os
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from worker.cli import main
from worker.settings import load
from worker.training.dataset.layouts import Dataset, Layout, open_dataset
from worker.training.dataset.masks import read_mask

from .pictures import mvtec, noise, spot, write

LIMITS = load()[0].limits


def convert(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["dataset", "convert", *map(str, arguments)])


def content(dataset: Dataset) -> Counter[tuple[str, ...]]:
    """What must survive: nothing of names, and no difference between no mask and a black one."""

    def marked(mask: Path | None) -> str:
        pixels = read_mask(mask, LIMITS) if mask else np.zeros(0, bool)
        return hashlib.sha256(pixels.tobytes()).hexdigest() if pixels.any() else ""

    return Counter(
        (hashlib.sha256(one.path.read_bytes()).hexdigest(), one.part, one.kind, marked(one.mask))
        for one in dataset.samples
    )


def round_trip(folder: Path, work: Path) -> tuple[Dataset, Dataset, Dataset]:
    there, back = work / "there", work / "back"
    for source, to, target in ((folder, "paddlex", there), (there, "mvtec", back)):
        done = convert(source, "--to", to, "--output", target)
        assert done.exit_code == 0, done.output
        assert done.stdout.strip() == str(target)
    return open_dataset(folder), open_dataset(there), open_dataset(back)


def as_paddlex_reads(folder: Path) -> list[tuple[str, tuple[int, ...]]]:
    """Every line as PaddleX's own check takes it: one blank, both files there, the same shape."""
    lines = []
    for name in ("train.txt", "val.txt"):
        for line in filter(None, (line.strip() for line in (folder / name).read_text().splitlines())):
            image, mask = line.split(" ")
            pixels, labels = cv2.imread(str(folder / image)), cv2.imread(str(folder / mask))[:, :, 0]
            assert pixels.shape[:2] == labels.shape
            lines.append((name, labels.shape))
    return lines


def test_there_and_back(tmp_path: Path) -> None:
    original, there, back = round_trip(mvtec(tmp_path / "set"), tmp_path)

    assert (there.layout, back.layout) == (Layout.PADDLEX, Layout.MVTEC)
    assert content(original) == content(there) == content(back)
    assert not (tmp_path / "back" / "ground_truth" / "good").exists()
    assert [name for name, _ in as_paddlex_reads(there.folder)] == ["train.txt"] * 3 + ["val.txt"] * 3
    assert open_dataset(there.folder, Layout.MVTEC).tests


def test_names_that_meet_stay_apart(tmp_path: Path) -> None:
    folder = mvtec(tmp_path / "set")
    for seed, name in enumerate(("a/1.png", "b/1.png", "b/1.bmp", "1.PNG", "A/1.png", "a b/1 2.png", "a_1.png")):
        write(folder / "train" / "good" / name, noise(100 + seed))
    for seed, name in enumerate(("a/7", "b/7", "7", "7_mask", "ü" * 120)):
        write(folder / "test" / "deep cut" / f"{name}.png", noise(200 + seed))
        mask = np.roll(spot(), seed, axis=0)
        write(folder / "ground_truth" / "deep cut" / f"{name}_mask.png", mask)

    original, there, back = round_trip(folder, tmp_path)

    as_paddlex_reads(there.folder)
    assert len(original.samples) == 18
    assert content(there) == content(back)
    renamed = Counter({(*key[:2], key[2].replace(" ", "_"), key[3]): n for key, n in content(original).items()})
    assert content(there) == renamed


def test_real_photographs_there_and_back(shared_dir: Path, tmp_path: Path) -> None:
    original, there, back = round_trip(shared_dir / "data" / "magnetic_tile", tmp_path)

    assert content(original) == content(there) == content(back)
    assert len(as_paddlex_reads(there.folder)) == 380


def test_a_mask_of_another_format_becomes_png(tmp_path: Path) -> None:
    write(tmp_path / "set" / "test" / "dent" / "1.png", noise(1))
    write(tmp_path / "set" / "1.bmp", spot(1))
    (tmp_path / "set" / "val.txt").write_text("test/dent/1.png 1.bmp\n")

    done = convert(tmp_path / "set", "--to", "mvtec", "--output", tmp_path / "out")

    assert done.exit_code == 0, done.output
    written = tmp_path / "out" / "ground_truth" / "dent" / "1_mask.png"
    assert np.array_equal(cv2.imread(str(written), cv2.IMREAD_GRAYSCALE), spot(1))


def test_a_plain_folder_is_split_by_the_seed(tmp_path: Path) -> None:
    for number in range(10):
        write(tmp_path / "set" / f"{number}.png", noise(number))
    for name, to, seed in (("a", "mvtec", 1), ("b", "paddlex", 1), ("c", "mvtec", 2)):
        arguments = (tmp_path / "set", "--to", to, "--output", tmp_path / name, "--test-share", 0.3, "--seed", seed)
        assert convert(*arguments).exit_code == 0

    tests = {name: [one.path.name for one in open_dataset(tmp_path / name).tests] for name in "abc"}
    assert len(tests["a"]) == 3
    assert tests["a"] == tests["b"] != tests["c"]


def test_links_take_no_room_and_copies_are_apart(tmp_path: Path) -> None:
    folder = mvtec(tmp_path / "set")
    outside = (folder / "train" / "good" / "0.png").rename(tmp_path / "0.png")
    (folder / "train" / "good" / "0.png").symlink_to(outside)

    for name, flags in (("linked", ["--link"]), ("copied", [])):
        assert convert(folder, "--to", "mvtec", "--output", tmp_path / name, *flags).exit_code == 0

    image = Path("train", "good", "0.png")
    assert (tmp_path / "linked" / image).samefile(outside)
    assert not (tmp_path / "linked" / image).is_symlink()
    assert not (tmp_path / "copied" / image).samefile(outside)


def test_what_lists_cannot_say_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    folder = mvtec(tmp_path / "set")
    mask = folder / "ground_truth" / "dent" / "0_mask.png"
    write(mask, spot(0))
    black = convert(folder, "--to", "paddlex", "--output", tmp_path / "out")
    mask.unlink()
    missing = convert(folder, "--to", "paddlex", "--output", tmp_path / "out")

    assert (black.exit_code, missing.exit_code) == (66, 66)
    assert "0_mask.png: the mask of a defect, black all over" in black.stderr
    assert "dent/0.png: a defect without a mask" in missing.stderr
    assert list((tmp_path / "out").iterdir()) == []
    assert convert(folder, "--to", "mvtec", "--output", tmp_path / "out").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nowhere", "--to", "mvtec", "--output", "out"], 66, "no such folder"),
        (["set", "--to", "mvtec", "--output", "full"], 78, "full: it is not empty; name a new folder"),
        (["set", "--to", "mvtec", "--output", "set/new"], 78, "in the data set's own folder"),
        (["set", "--to", "mvtec", "--output", "link/new"], 78, "in the data set's own folder"),
        (["set", "--to", "mvtec", "--output", "file"], 78, "file: cannot be written: File exists"),
        (["set", "--to", "mvtec", "--output", "file/below"], 78, "cannot be written: Not a directory"),
        (["set", "--to", "mvtec", "--output", "out", "--test-share", "0.5"], 78, "3 tests of its own"),
        (["plain", "--to", "mvtec", "--output", "out", "--test-share", "0.1"], 78, "of 2 images that is 0"),
        (["set", "--to", "plain", "--output", "out"], 2, "Invalid value for '--to'"),
    ],
)
def test_what_is_wrong_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, said: str
) -> None:
    mvtec(tmp_path / "set")
    write(tmp_path / "plain" / "1.png", noise(1))
    write(tmp_path / "plain" / "2.png", noise(2))
    write(tmp_path / "full" / "kept.png", noise(3))
    (tmp_path / "file").write_text("kept")
    (tmp_path / "link").symlink_to("set")
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))

    done = convert(*arguments)

    assert done.exit_code == code, done.output
    assert said in done.stderr
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "file").read_text() == "kept"


def test_a_full_disk_is_told_and_nothing_half_done_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = mvtec(tmp_path / "set")

    def full(_source: object, target: object) -> None:
        raise OSError(28, os.strerror(28), target)

    monkeypatch.setattr("worker.training.dataset.convert.shutil.copyfile", full)
    done = convert(folder, "--to", "mvtec", "--output", tmp_path / "out")

    assert done.exit_code == 78
    assert "cannot be written: No space left on device" in done.stderr
    assert list((tmp_path / "out").iterdir()) == []
