"""Three layouts of files on disk are read into one data set."""

import os
from pathlib import Path

import pytest

from worker.errors import SourceError
from worker.training.dataset.layouts import Dataset, Layout, Part, layout_of, open_dataset

from .pictures import mvtec, noise, spot, write


def listed(folder: Path, train: str = "", val: str = "") -> Dataset:
    (folder / "train.txt").write_text(train)
    (folder / "val.txt").write_text(val)
    return open_dataset(folder)


def test_mvtec_is_read_by_its_folders(tmp_path: Path) -> None:
    folder = mvtec(tmp_path)
    write(folder / "test" / "dent" / "left" / "0.png", noise(22))
    deep = write(folder / "ground_truth" / "dent" / "left" / "0.png", spot())
    stray = write(folder / "extra.png", noise(30))

    found = open_dataset(folder)

    assert found.layout is Layout.MVTEC
    assert [sample.path.name for sample in found.learned] == ["0.png", "1.png", "2.png"]
    assert [(sample.kind, sample.mask) for sample in found.tests] == [
        ("crack", folder / "ground_truth" / "crack" / "0_mask.png"),
        ("dent", folder / "ground_truth" / "dent" / "0_mask.png"),
        ("dent", deep),
        ("good", None),
    ]
    assert found.strays == (stray,)


def test_a_plain_folder_is_good_to_its_leaves(tmp_path: Path) -> None:
    write(tmp_path / "a" / "b" / "1.png", noise(1))
    write(tmp_path / "2.JPG", noise(2))

    found = open_dataset(tmp_path)

    assert found.layout is Layout.PLAIN
    assert [(sample.part, sample.kind) for sample in found.samples] == [(Part.TRAIN, "good")] * 2


def test_lists_come_before_folders_unless_told(tmp_path: Path) -> None:
    folder = mvtec(tmp_path)
    listed(folder, "train/good/0.png\n", "")

    assert layout_of(folder) is Layout.PADDLEX
    assert len(open_dataset(folder).samples) == 1
    assert len(open_dataset(folder, Layout.MVTEC).samples) == 6


def test_a_mask_says_which_listed_image_is_bad_and_its_folder_of_what_kind(tmp_path: Path) -> None:
    folder = mvtec(tmp_path)
    black = write(folder / "black.png", spot(0))
    one = write(folder / "pictures" / "one.png", noise(40))
    ones = write(folder / "pictures" / "ones.png", spot(1))

    found = listed(
        folder,
        f"train/good/0.png {folder}/train/good/0.png\ntrain/good/1.png black.png\ntrain/good/2.png\n",
        f"test/crack/0.png ground_truth/crack/0_mask.png\n{one} {ones}\ntest/dent/0.png black.png\n",
    )

    assert [sample.mask for sample in found.learned] == [None, black, None]
    assert [(sample.kind, sample.is_good) for sample in found.tests] == [
        ("crack", False),
        ("defect", False),
        ("good", True),
    ]
    assert sorted(path.parent.name for path in found.strays) == ["dent", "good"]


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff1 a.png 1 b.png",
        "1 a.png\t1 b.png",
        "  1 a.png   1 b.png\r\n\r\n",
        "{folder}/1 a.png {folder}/1 b.png",
        "/elsewhere/before/{name}/1 a.png /elsewhere/{name}/1 b.png",
    ],
)
def test_a_line_is_parted_where_two_files_come_of_it(tmp_path: Path, text: str) -> None:
    folder = tmp_path / "my set"
    image = write(folder / "my set" / "1 a.png", noise(1))
    mask = write(folder / "my set" / "1 b.png", spot())
    if "{name}" not in text:
        image, mask = image.rename(folder / "1 a.png"), mask.rename(folder / "1 b.png")

    found = listed(folder, "", text.format(folder=folder, name="my set"))

    assert [(sample.path, sample.mask) for sample in found.samples] == [(image, mask)]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("gone.png spot.png", "line 2: there is no image 'gone.png'"),
        ("gone away.png spot.png", "there is no image 'gone away.png spot.png'"),
        ("a.png gone.png", "there is no mask 'gone.png'"),
        ("a.png notes.txt", "there is no mask 'notes.txt'"),
        ("a.png cut.png", "line 2: mask .*cut.png: the png ends early"),
        ("notes.txt", "there is no image 'notes.txt', or it is none of .jpg"),
        ("../../../../etc/passwd", "there is no image"),
        ("/dev/zero spot.png", "there is no image"),
        ("pipe.png spot.png", "there is no image"),
        ("a\0.png", "there is no image"),
        ("x" * 5000 + ".png", "there is no image"),
        ("a.png a.png a.png", "can be read in 2 ways; put a tab"),
    ],
)
def test_what_is_wrong_with_a_line_is_told_with_its_number(tmp_path: Path, line: str, said: str) -> None:
    write(tmp_path / "a.png", noise(1))
    write(tmp_path / "spot.png", spot())
    cut = write(tmp_path / "cut.png", spot())
    cut.write_bytes(cut.read_bytes()[:50])
    (tmp_path / "notes.txt").write_text("no image")
    os.mkfifo(tmp_path / "pipe.png")
    if said.startswith("can be"):
        write(tmp_path / "a.png a.png", noise(2))

    with pytest.raises(SourceError, match=said):
        listed(tmp_path, "", f"a.png\n{line}\n")
    faults: list[str] = []
    assert len(open_dataset(tmp_path, faults=faults).samples) == 1
    assert len(faults) == 1


def test_lists_that_are_no_text_and_folders_without_images_are_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such folder"):
        open_dataset(tmp_path / "nowhere")
    with pytest.raises(SourceError, match="no image"):
        open_dataset(tmp_path)
    with pytest.raises(SourceError, match="no image is in its train/good"):
        open_dataset(tmp_path, Layout.MVTEC)
    (tmp_path / "train.txt").write_text("\n")
    with pytest.raises(SourceError, match="name no image"):
        open_dataset(tmp_path)
    (tmp_path / "train.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SourceError, match="not text in UTF-8"):
        open_dataset(tmp_path)


def test_real_photographs_are_all_found(shared_dir: Path) -> None:
    found = open_dataset(shared_dir / "data" / "magnetic_tile")

    assert len(found.learned) == 200
    assert len(found.tests) == 180
    assert all(sample.is_good or sample.mask for sample in found.samples)
    assert found.strays == ()


def test_what_a_plain_folder_leaves_out_is_named(tmp_path: Path) -> None:
    write(tmp_path / "photos" / "1.png", noise(1))
    write(tmp_path / "elsewhere" / "2.png", noise(2))
    (tmp_path / "photos" / "3.TIF").write_bytes(b"II*")
    (tmp_path / "photos" / "4.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "photos" / "more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "photos" / "notes.txt").write_text("of no picture")

    found = open_dataset(tmp_path / "photos")

    assert [sample.path.name for sample in found.samples] == ["1.png"]
    assert [path.name for path in found.strays] == ["3.TIF", "4.png", "more"]
