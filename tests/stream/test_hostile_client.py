"""A program with a camera's rights that floods, writes garbage and names ids: the others' frames end as ever."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from ports import free_port

from worker.errors import StreamUnavailable
from worker.settings import Settings
from worker.stream.consume import FrameConsumer
from worker.stream.frozen import FrozenCameras, Shown
from worker.types import Verdict

from .guarded import GuardedRedis
from .line_of_frames import Line, in_background

LAST_ID = f"{2**64 - 1}-{2**64 - 1}"
IN_YEAR_3000 = "32503680000000-0"
FLOOD = 80  # a round of ten, so that the queue has room for the frames of others too
NO_NUMBERS = ["abc", "", "-5", "1e400", "-inf", "nan", "0x7fffffffffffffff", "9" * 400, b"\xff\x00", "1e15", "3.5"]


@pytest.fixture
def free_line(each_settings: Settings) -> Iterator[Line]:
    """A line on each server whose books a test may falsify."""
    line = Line(each_settings)
    yield line
    line.do("FLUSHALL")
    line.close()


def drain(line: Line, worker: FrameConsumer) -> list[str]:
    """Inspect all that waits; the ids."""
    done: list[str] = []
    while deliveries := worker.read(100, block_ms=1):
        ids = [delivery.id for delivery in deliveries]
        assert line.finish(*ids) == [True] * len(ids)
        done += ids
    return done


# Counts and sizes.


@pytest.mark.parametrize("policy", ["block", "drop-oldest"])
def test_sizes_that_are_no_numbers_stop_nobody(free_line: Line, policy: str) -> None:
    line = free_line.with_queue(policy, max_frames=len(NO_NUMBERS))
    worker = line.consumer("w1")
    # Given frames whose sizes somebody overwrites, and sizes of frames that are not there
    ids = [line.publish().id for _ in NO_NUMBERS]
    for entry, size in zip(ids, NO_NUMBERS, strict=True):
        line.do("HSET", line.keys.sizes, entry, size, f"9-{len(str(size))}", size)
    # When frames are evicted, ended and published
    evicted = sum(line.publish().evicted for _ in ids[:5]) if policy == "drop-oldest" else 0
    assert evicted == (5 if policy == "drop-oldest" else 0)
    assert len(drain(line, worker)) == len(ids)
    # Then every one of them is, and the empty queue has forgotten the garbage
    books = line.books()
    assert (books.verdicts["OK"], books.backlog_bytes, books.difference) == (len(ids), 0, 0)
    assert line.do("EXISTS", line.keys.sizes) == 0
    assert line.publish().status == "accepted"


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63)])
def test_counts_at_their_end_stop_nobody(free_line: Line, number: int) -> None:
    line = free_line
    worker = line.consumer("w1")
    ids = [line.publish().id for _ in range(3)]
    for field in ("produced", "backlog_bytes", "verdict:OK", "dead", "dropped:deleted", "dropped:drop-newest"):
        line.do("HDEL", line.keys.ledger, field)
        line.do("HINCRBY", line.keys.ledger, field, number)
        line.do("HINCRBY", line.keys.cameras, f"c1:{field}", number)
    # Then publishing goes on (a queue that seems too full lets a frame in where it is empty), and so do commits
    worker.read(3)
    assert line.finish(*ids[:2]) == [True, True]
    assert line.bury(ids[2]) == [True]
    assert line.publish().status == "accepted"
    assert len(drain(line, worker)) == 1
    assert line.with_queue("drop-newest", max_frames=1).publish().status == "accepted"
    assert line.with_queue("drop-newest", max_frames=1).publish().status == "dropped"
    line.books()  # can be read, though it is false


def test_names_that_nobody_counts_under_can_be_read(free_line: Line) -> None:
    for name in (b"\xff\xfe", "", ":", "c1", "verdict:", "verdict:WHAT", "x" * 5_000):
        free_line.do("HINCRBY", free_line.keys.ledger, name, 1)
        free_line.do("HINCRBY", free_line.keys.cameras, name, 1)
    free_line.publish()
    assert free_line.books().backlog == 1


# Ids.


def test_the_last_possible_id_holds_the_line_up_until_it_is_empty_and_no_longer(line: Line) -> None:
    worker = line.consumer("w1")
    before = line.publish().id
    line.do("XADD", line.keys.frames, LAST_ID, "camera", "c1", "data", "x")
    # Redis takes no further entry: publishers wait, and do not die
    with pytest.raises(StreamUnavailable, match="id"):
        line.publish()
    # When the frames before are ended and a worker shows up
    assert drain(line, worker) == [before, LAST_ID]
    worker.show_up()
    # Then it goes on, with ids by the clock, and every frame is in the books
    after = line.publish().id
    assert abs(int(after.split("-")[0]) - time.time() * 1000) < 60_000
    assert drain(line, worker) == [after]
    books = line.books()
    assert (books.produced, books.verdicts["OK"], books.difference) == (3, 3, 0)


def test_ids_far_ahead_are_brought_back_under_load(line: Line) -> None:
    worker, other = line.consumer("w1"), line.consumer("w2")
    line.do("XADD", line.keys.frames, IN_YEAR_3000, "camera", "c1", "data", "x")
    behind = line.publish().id
    assert behind.startswith("32503680000000-")
    # When a worker sees it, then publishers wait
    in_hand = [delivery.id for delivery in worker.read(1)]
    worker.show_up()
    with pytest.raises(StreamUnavailable, match="wait"):
        line.publish()
    thread, published = in_background(lambda: publish_patiently(line))
    # Nothing is brought back while a frame is in work or waits
    other.show_up()
    assert line.waiting() == [IN_YEAR_3000, behind]
    line.finish(*in_hand)
    other.show_up()
    assert line.waiting() == [behind]
    drain(line, other)
    worker.show_up()
    # Then they go on by the clock
    thread.join(10)
    assert abs(int(published[0].split("-")[0]) - time.time() * 1000) < 60_000
    assert drain(line, other) == published
    # And both workers are still known, and all is counted
    assert {row[1] for row in line.do("XINFO", "CONSUMERS", line.keys.frames, "inspect")} == {b"w1", b"w2"}
    assert line.books().verdicts["OK"] == 3
    assert line.do("EXISTS", line.keys.hold) == 0


def publish_patiently(line: Line) -> str:
    """As `produce` does: again after each StreamUnavailable."""
    while True:
        try:
            return line.publish().id
        except StreamUnavailable:
            time.sleep(0.05)


def test_ids_are_not_brought_back_while_a_deleted_frame_has_its_end_to_come(line: Line) -> None:
    worker = line.consumer("w1", idle_ms=0)
    line.do("XADD", line.keys.frames, IN_YEAR_3000, "camera", "c1", "data", "x")
    worker.read(1)
    line.do("XDEL", line.keys.frames, IN_YEAR_3000)
    worker.show_up()
    assert line.pending() == [IN_YEAR_3000]
    assert worker.recover_idle() is None
    worker.show_up()
    line.do("DEL", line.keys.hold)  # it would go by itself in seconds
    assert not line.publish().id.startswith("3250")
    assert line.books().dropped == {"deleted": 1}


def test_one_id_far_ahead_does_not_end_the_watch_for_frozen_cameras(line: Line) -> None:
    worker, cameras = line.consumer("w1"), FrozenCameras(line.client, line.keys, limit=3)
    # Given a frame of the year 3000 under a camera's name, which a worker looked at
    line.do("XADD", line.keys.frames, IN_YEAR_3000, "camera", "c1", "data", "x")
    worker.read(1)
    cameras.frozen([Shown(IN_YEAR_3000, "c1", "ee")])
    line.finish(IN_YEAR_3000)
    # When the ids are back and the camera freezes, then it is told all the same
    worker.show_up()
    shown = [Shown(line.publish().id, "c1", "aa") for _ in range(4)]
    assert cameras.frozen(shown) == [False, False, True, True]
    drain(line, worker)


def test_a_clock_that_was_set_back_a_little_is_no_foreign_id(line: Line) -> None:
    worker = line.consumer("w1")
    soon = f"{int(time.time() * 1000) + 600_000}-0"
    line.do("XADD", line.keys.frames, soon, "camera", "c1", "data", "x")
    assert drain(line, worker) == [soon]
    worker.show_up()
    assert line.publish().id == soon.replace("-0", "-1")


# Frames that go without a word.


def test_frames_that_are_trimmed_away_are_noticed(free_line: Line) -> None:
    line = free_line
    worker = line.consumer("w1", idle_ms=0)
    for _ in range(4):
        line.publish()
    worker.read(2)
    # When a client adds a frame and trims the stream to it
    line.do("XADD", line.keys.frames, "MAXLEN", "1", "*", "camera", "evil", "data", "x")
    # Then those in work are counted, and those that nobody had had are a difference in the books
    while worker.has_idle():
        worker.recover_idle()
    drain(line, worker)
    books = line.books()
    assert books.dropped == {"deleted": 2}
    assert (books.backlog, books.difference) == (0, 2)


# Under the camera's rights, with the other roles at work.


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedRedis]:
    with GuardedRedis(tmp_path_factory.mktemp("guarded"), free_port()) as server:
        yield server


def garbage() -> list[list[str | bytes]]:
    """Entries that are no frames."""
    return [
        ["x", "y"],
        ["", ""],
        ["camera", "", "data", ""],
        ["camera", "c1", "data", "a", "data", "b"],
        ["camera", "n" * 100_000, "data", "x"],
        ["n" * 100_000, b"\xff" * 100_000],
        [part for number in range(10_000) for part in (f"f{number}", "x")],
        ["camera", "c1", "data", b"\x00" * 1_000_000, "reply_to", "{other}:frames"],
    ]


def test_a_flood_and_garbage_under_a_cameras_rights_cost_nobody_a_verdict(guarded: GuardedRedis) -> None:
    hostile = guarded.client("camera")
    honest, work = Line(guarded.settings("camera")), Line(guarded.settings("worker"))
    worker = work.consumer("w1")
    worker.show_up()
    keys = work.keys
    ours: list[str] = []
    for number in range(10):
        ours.append(honest.publish("honest").id)
        for _ in range(FLOOD):
            hostile.execute_command("XADD", keys.frames, "*", "camera", "evil", "data", "x")
        for entry in garbage():
            hostile.execute_command("XADD", keys.frames, "*", *entry)
        # It also tries to take, end and delete what others have in hand, and to speak for them
        for command in (
            ("XCLAIM", keys.frames, "inspect", "me", 0, ours[-1]),
            ("XACK", keys.frames, "inspect", ours[-1]),
            ("XDEL", keys.frames, ours[-1]),
            ("XADD", keys.results, "*", "frame", ours[-1], "camera", "honest", "verdict", "OK"),
            ("EVAL", "while true do end", 0),
        ):
            with pytest.raises(redis.exceptions.NoPermissionError):
                hostile.execute_command(*command)
        hostile.execute_command("HSET", keys.sizes, ours[-1], NO_NUMBERS[number])
    # When a worker buries the garbage and inspects the rest
    while deliveries := worker.read(100, block_ms=1):
        for delivery in deliveries:
            end = work.finish if delivery.flat[:2] == [b"camera", b"honest"] else work.bury
            assert end(delivery.id, camera="honest") == [True]
    # Then each honest frame has its verdict, and the books agree
    results = Line(guarded.settings("admin")).results()
    assert [(one.frame, one.verdict) for one in results] == [(one, Verdict.OK) for one in ours]
    books = work.books()
    assert (books.produced, books.backlog, books.difference) == (10 * (1 + FLOOD + len(garbage())), 0, 0)
    assert books.dead_letters_kept <= work.settings.keep.dead


def test_the_ids_heal_under_the_roles_rights(guarded: GuardedRedis, tmp_path: Path) -> None:
    honest, work = Line(guarded.settings("camera")), Line(guarded.settings("worker"))
    worker = work.consumer("w1")
    worker.show_up()
    guarded.client("camera").execute_command("XADD", work.keys.frames, LAST_ID, "camera", "evil", "data", "x")
    with pytest.raises(StreamUnavailable):
        honest.publish()
    drain(work, worker)
    worker.show_up()
    assert drain(work, worker) == []
    assert honest.publish().status == "accepted"
    assert work.books().difference == 0
