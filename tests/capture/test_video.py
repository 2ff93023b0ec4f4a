"""Video files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from worker.capture.context import Context
from worker.capture.encode import EncodeOptions
from worker.capture.open import SourceOptions, open_source
from worker.capture.produce import ProduceOptions, produce
from worker.errors import SourceError
from worker.types import Encoding

from .conftest import Log, Recorder, write_video

RAW = EncodeOptions(Encoding.MONO8)


def test_every_picture_of_a_video_comes_once_and_in_order(tmp_path: Path, context: Context, recorder: Recorder) -> None:
    path = write_video(tmp_path / "line.avi", range(0, 200, 10))
    produce(open_source(str(path), context=context), recorder, ProduceOptions("c1", encode=RAW), context)
    levels = [np.frombuffer(frame.data, np.uint8).mean() for frame in recorder.frames]
    assert levels == pytest.approx(list(range(0, 200, 10)), abs=3)
    assert (recorder.frames[0].width, recorder.frames[0].height) == (64, 48)


def test_a_video_loops(tmp_path: Path, context: Context, recorder: Recorder) -> None:
    path = write_video(tmp_path / "line.avi", range(0, 30, 10))
    source = open_source(str(path), SourceOptions(loop=True), context)
    produce(source, recorder, ProduceOptions("c1", count=7, part_id_from="name"), context)
    assert [frame.part_id for frame in recorder.frames] == [f"line-{n:06d}" for n in (0, 1, 2, 0, 1, 2, 0)]


def test_a_video_that_ends_early_is_reported(tmp_path: Path, context: Context, recorder: Recorder, log: Log) -> None:
    path = write_video(tmp_path / "line.avi", range(0, 200, 2))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    produce(open_source(str(path), context=context), recorder, ProduceOptions("c1"), context)
    assert 10 < len(recorder.frames) < 100
    assert log.events() == ["video ended early: it may be damaged"]


def test_a_file_that_is_no_video_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no video")
    with pytest.raises(SourceError, match="neither an image"):
        open_source(str(tmp_path / "notes.txt"))


def test_stop_ends_a_video(tmp_path: Path, context: Context) -> None:
    path = write_video(tmp_path / "line.avi", range(0, 100, 10))
    pictures = iter(open_source(str(path), SourceOptions(loop=True), context))
    assert next(pictures).image is not None
    context.stop.set()
    assert list(pictures) == []
