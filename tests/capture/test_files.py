"""Folders, globs and image files."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from worker.capture.context import Context
from worker.capture.encode import EncodeOptions, Size
from worker.capture.files import MAX_FILE_BYTES, FilesSource, list_folder, natural_key
from worker.capture.open import SourceOptions, open_source
from worker.capture.produce import ProduceOptions, produce
from worker.errors import SourceError
from worker.types import Encoding, Frame

from .conftest import Log, Recorder, write_image


def read_all(text: str, context: Context, recorder: Recorder, **options: object) -> list[Frame]:
    produce(open_source(text, context=context), recorder, ProduceOptions("c1", **options), context)
    return recorder.frames


def test_a_folder_is_read_deep_in_natural_order(tmp_path: Path, context: Context, recorder: Recorder) -> None:
    for name in ("b10.png", "b2.png", "a/x10.jpg", "a/x9.jpg"):
        write_image(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "._b2.png").write_text("litter")
    frames = read_all(str(tmp_path), context, recorder, part_id_from="name")
    assert [frame.part_id for frame in frames] == ["x9", "x10", "b2", "b10"]
    assert [frame.seq for frame in frames] == [0, 1, 2, 3]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp"])
def test_a_file_travels_as_its_own_bytes(suffix: str, tmp_path: Path, context: Context, recorder: Recorder) -> None:
    data = write_image(tmp_path / f"x{suffix}")
    (frame,) = read_all(str(tmp_path / f"x{suffix}"), context, recorder)
    assert frame.data == data
    assert frame.encoding is Encoding(suffix[1:].replace("jpg", "jpeg"))


def test_content_counts_where_the_suffix_lies(tmp_path: Path, context: Context, recorder: Recorder) -> None:
    data = write_image(tmp_path / "x.png")
    (tmp_path / "x.png").rename(tmp_path / "x.jpg")
    (frame,) = read_all(str(tmp_path), context, recorder)
    assert (frame.data, frame.encoding) == (data, Encoding.PNG)


def test_a_tiff_becomes_a_png_without_loss(tmp_path: Path, context: Context, recorder: Recorder) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (30, 40, 3), np.uint8)
    assert cv2.imwrite(str(tmp_path / "x.tif"), pixels)
    (frame,) = read_all(str(tmp_path), context, recorder)
    assert frame.encoding is Encoding.PNG
    assert (cv2.imdecode(np.frombuffer(frame.data, np.uint8), cv2.IMREAD_COLOR) == pixels).all()


@pytest.mark.parametrize("options", [EncodeOptions(), EncodeOptions(Encoding.PNG, resize=Size(8, 8))])
@pytest.mark.parametrize("name", ["x.jpg", "x.tif"])
def test_a_broken_file_still_reaches_the_line(
    name: str, options: EncodeOptions, tmp_path: Path, context: Context, recorder: Recorder
) -> None:
    (tmp_path / name).write_bytes(b"broken")
    (frame,) = read_all(str(tmp_path), context, recorder, encode=options)
    assert (frame.data, frame.encoding) == (b"broken", Encoding.JPEG)


def test_a_file_that_went_away_is_counted_and_passed_over(
    tmp_path: Path, context: Context, recorder: Recorder, log: Log
) -> None:
    for name in ("1.png", "2.png", "3.png"):
        write_image(tmp_path / name)
    source = open_source(str(tmp_path), context=context)
    (tmp_path / "2.png").unlink()
    tally = produce(source, recorder, ProduceOptions("c1"), context)
    assert (tally["published"], tally["unreadable"]) == (2, 1)
    assert log.events() == ["file cannot be read, passed over"]


def test_a_loop_over_files_all_gone_ends(tmp_path: Path, context: Context, recorder: Recorder) -> None:
    write_image(tmp_path / "1.png")
    source = open_source(str(tmp_path), SourceOptions(loop=True), context)
    (tmp_path / "1.png").unlink()
    with pytest.raises(SourceError, match="none of 1 files"):
        produce(source, recorder, ProduceOptions("c1"), context)


def test_a_loop_starts_again_and_numbers_go_on(tmp_path: Path, context: Context, recorder: Recorder) -> None:
    write_image(tmp_path / "1.png")
    write_image(tmp_path / "2.png")
    source = open_source(str(tmp_path), SourceOptions(loop=True), context)
    produce(source, recorder, ProduceOptions("c1", count=5, start_seq=7, part_id_from="name"), context)
    assert [frame.part_id for frame in recorder.frames] == ["1", "2", "1", "2", "1"]
    assert [frame.seq for frame in recorder.frames] == [7, 8, 9, 10, 11]


def test_a_glob_takes_what_it_matches(tmp_path: Path, context: Context, recorder: Recorder) -> None:
    for name in ("a/1.png", "a/1.jpg", "b/c/2.png"):
        write_image(tmp_path / name)
    frames = read_all(str(tmp_path / "**/*.png"), context, recorder, part_id_from="name")
    assert [frame.part_id for frame in frames] == ["1", "2"]


def test_a_name_with_brackets_may_be_no_glob(tmp_path: Path, context: Context, recorder: Recorder) -> None:
    write_image(tmp_path / "lot[1]" / "1.png")
    assert len(read_all(str(tmp_path / "lot[1]"), context, recorder)) == 1


def test_a_name_that_is_no_text_makes_a_part_id_all_the_same(
    tmp_path: Path, context: Context, recorder: Recorder
) -> None:
    data = write_image(tmp_path / "x.png")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\n.png")).write_bytes(data)
    (tmp_path / "x.png").unlink()
    (frame,) = read_all(str(tmp_path), context, recorder, part_id_from="name")
    assert frame.part_id == "??"


@pytest.mark.parametrize(
    ("name", "hint"),
    [("", "no images; files must end in .jpg"), ("*.png", "no images"), ("nothing", "no file or folder")],
)
def test_nothing_there_is_an_error(name: str, hint: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=hint):
        open_source(str(tmp_path / name) if name else str(tmp_path))


def test_numbers_sort_by_value() -> None:
    names = ["a10", "a9", "10", "9", "a", "A9", "b1/2", "b1/10", "b1"]
    ordered = sorted(map(Path, names), key=natural_key)
    assert list(map(str, ordered)) == ["9", "10", "a", "A9", "a9", "a10", "b1", "b1/2", "b1/10"]


def test_a_pipe_or_a_huge_file_is_passed_over_and_counted(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jpg")
    with (tmp_path / "b.jpg").open("wb") as huge:
        huge.truncate(MAX_FILE_BYTES + 1)
    (tmp_path / "c.jpg").write_bytes(b"bytes")
    context = Context()
    pictures = list(FilesSource(list_folder(tmp_path), False, context))
    assert [picture.name for picture in pictures] == ["c"]
    assert context.tally["unreadable"] == 2
