"""A folder into which pictures come while it is watched."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from worker.capture.context import Context
from worker.capture.encode import Box, EncodeOptions
from worker.capture.open import SourceOptions, open_source
from worker.capture.outage import Backoff
from worker.capture.produce import ProduceOptions, produce
from worker.capture.published import Published, Stamp
from worker.errors import FrameError, SourceError

from .conftest import Answer, FakeClock, Log, Recorder, away, write_image


class Looks(FakeClock):
    """A clock that at each of the source's pauses does the next of `steps`, and after the last of them ends it."""

    def __init__(self, stop: threading.Event, *steps: Callable[[], object]) -> None:
        super().__init__()
        self.stop, self.steps = stop, list(steps)

    def wait(self, seconds: float, stop: threading.Event) -> None:
        super().wait(seconds, stop)
        if self.steps:
            self.steps.pop(0)()
        else:
            self.stop.set()


def nothing() -> None:
    pass


LONG = [nothing] * 6
"""More than the second in which a picture must not change."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "pictures"
    path.mkdir()
    return path


class Watching:
    """Runs of a producer over the same folder and the same list of what was published."""

    def __init__(self, folder: Path, log: Log) -> None:
        self.folder, self.log = folder, log
        self.list = folder.parent / "state" / "c1.jsonl"

    def run(
        self,
        *steps: Callable[[], object],
        recorder: Recorder | None = None,
        options: ProduceOptions | None = None,
        reconnect: bool = True,
    ) -> list[str]:
        """The part ids of the frames of one run, in which `steps` happen one after another."""
        stop = threading.Event()
        context = Context(stop=stop, clock=Looks(stop, *steps), log=self.log)
        source = open_source(str(self.folder), SourceOptions(watched=self.list, reconnect=reconnect), context)
        recorder = recorder or Recorder()
        produce(source, recorder, options or ProduceOptions("c1", part_id_from="name"), context)
        return [frame.part_id for frame in recorder.frames]  # fmt: skip


@pytest.fixture
def watching(folder: Path, log: Log) -> Watching:
    return Watching(folder, log)


def picture(folder: Path, name: str, changed_at: int) -> bytes:
    data = write_image(folder / name)
    os.utime(folder / name, (changed_at, changed_at))
    return data


def test_what_is_there_and_what_comes_is_published_once_in_order_of_time(folder: Path, watching: Watching) -> None:
    picture(folder, "z.png", 100)
    picture(folder, "a.png", 200)
    picture(folder, "deeper/m.png", 150)
    (folder / "notes.txt").write_text("no picture")
    later = [*LONG, lambda: picture(folder, "b.png", 50), *LONG]
    assert watching.run(*later) == ["z", "m", "a", "b"]
    assert watching.run(*LONG) == []
    picture(folder, "c.png", 10)
    assert watching.run(*LONG) == ["c"]


def test_a_picture_that_is_being_written_is_waited_for(folder: Path, watching: Watching) -> None:
    data = picture(folder, "x.png", 100)
    growing = iter(range(1, 20))

    def grow() -> None:
        (folder / "x.png").write_bytes(data[: 20 * next(growing)])

    def finish() -> None:
        (folder / "x.png").write_bytes(data)

    (folder / "empty.png").touch()
    recorder = Recorder()
    watching.run(grow, grow, grow, grow, finish, *LONG, recorder=recorder)
    assert [frame.data for frame in recorder.frames] == [data]


def test_a_hidden_file_or_other_suffix_counts_from_its_renaming_on(folder: Path, watching: Watching) -> None:
    picture(folder, ".x.png", 100)
    steps = [*LONG, lambda: (folder / ".x.png").rename(folder / "x.png"), *LONG]
    assert watching.run(*steps) == ["x"]


def test_a_file_that_is_written_anew_is_a_new_picture(folder: Path, watching: Watching) -> None:
    picture(folder, "latest.png", 100)
    assert watching.run(*LONG, lambda: picture(folder, "latest.png", 101), *LONG) == ["latest", "latest"]


def test_what_was_in_hand_when_stopped_is_published_at_the_next_start(folder: Path, watching: Watching) -> None:
    picture(folder, "x.png", 100)
    recorder = Recorder(failures=[away() for _ in range(1000)])
    stop = threading.Event()
    context = Context(stop=stop, clock=Looks(stop, *LONG), log=watching.log)
    source = open_source(str(folder), SourceOptions(watched=watching.list), context)
    threading.Timer(1.0, stop.set).start()
    produce(source, recorder, ProduceOptions("c1", backoff=Backoff(0.01, 0.02)), context)
    assert recorder.calls
    assert not recorder.frames
    assert watching.run(*LONG) == ["x"]


def test_what_the_line_refuses_is_not_offered_again(folder: Path, watching: Watching) -> None:
    picture(folder, "x.png", 100)
    assert watching.run(*LONG, recorder=Recorder(failures=[FrameError("too_large", "too large")])) == []
    assert watching.run(*LONG) == []
    picture(folder, "y.png", 100)
    assert watching.run(*LONG, recorder=Recorder(answer=Answer("dropped"))) == ["y"]
    assert watching.run(*LONG) == []


def test_a_picture_that_does_not_fit_the_crop_ends_nothing_where_that_is_asked_for(
    folder: Path, watching: Watching, log: Log
) -> None:
    write_image(folder / "small.png", width=10, height=10)
    write_image(folder / "right.png", width=40, height=30)
    options = ProduceOptions(
        "c1", part_id_from="name", passes_misfits=True, encode=EncodeOptions(crop=Box(0, 0, 40, 30))
    )
    assert watching.run(*LONG, options=options) == ["right"]
    assert "picture refused" in log.events()


def test_a_file_that_cannot_be_read_is_passed_over_once(folder: Path, watching: Watching, log: Log) -> None:
    (folder / "pipe.png").mkdir()
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    os.mkfifo(folder / "x.png")
    picture(folder, "y.png", 100)
    big = folder / "big.png"
    with big.open("wb") as file:
        file.truncate(2**30)
    assert watching.run(*LONG, *LONG) == ["y"]
    assert log.events().count("file cannot be read, passed over") == 1


def test_a_folder_that_goes_away_is_waited_for(folder: Path, watching: Watching, log: Log) -> None:
    picture(folder, "x.png", 100)
    elsewhere = folder.with_name("elsewhere")
    steps = [*LONG, lambda: folder.rename(elsewhere), *LONG, lambda: elsewhere.rename(folder), *LONG]
    assert watching.run(*steps) == ["x"]
    assert log.events() == ["folder is away, trying until it is back", "folder is back"]
    with pytest.raises(SourceError, match="cannot be read"):
        watching.run(*LONG, lambda: folder.rename(elsewhere), *LONG, reconnect=False)


def test_a_list_that_was_cut_off_loses_the_last_picture_only(folder: Path, watching: Watching) -> None:
    for name in ("a", "b"):
        picture(folder, f"{name}.png", 100)
    assert watching.run(*LONG) == ["a", "b"]
    watching.list.write_bytes(watching.list.read_bytes()[:-5])
    assert watching.run(*LONG) == ["b"]
    assert watching.run(*LONG) == []


def test_two_processes_do_not_watch_for_one_camera(folder: Path, watching: Watching) -> None:
    first = Published(watching.list)
    with pytest.raises(SourceError, match="another process"):
        watching.run()
    first.close()
    assert watching.run() == []


def test_a_long_list_is_shortened_to_what_is_still_there(tmp_path: Path) -> None:
    file = tmp_path / "c1.jsonl"
    published = Published(file)
    for number in range(100_002):
        published._stamps[str(number)] = Stamp(number, 1)  # as if each had been added, which takes long
    published.forget_all_but({"3", "100001", "never published"})
    published.add("new", Stamp(1, 1))
    published.close()
    again = Published(file)
    assert ("3", Stamp(3, 1)) in again
    assert ("new", Stamp(1, 1)) in again
    assert ("4", Stamp(4, 1)) not in again
    assert len(file.read_bytes().splitlines()) == 3


def test_names_of_any_bytes_are_kept(folder: Path, watching: Watching) -> None:
    data = write_image(folder.parent / "x.png")
    for name in (b"line\nbreak.png", b'quote".png', b"latin\xe9.png"):
        (folder / os.fsdecode(name)).write_bytes(data)
    assert len(watching.run(*LONG)) == 3
    assert watching.run(*LONG) == []
