"""Publishing many frames by one call: the same promises as for one, also where a call ends half way."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from line_settings import settings_for

from worker.errors import FrameError, StreamUnavailable
from worker.settings import Settings
from worker.stream.publish import FramePublisher
from worker.types import Frame

from .line_of_frames import Line, in_background
from .lossy_proxy import LossyProxy

LAST_ID = f"{2**64 - 1}-{2**64 - 2}"  # there is room for one behind it


def frames(count: int, size: int = 5) -> list[Frame]:
    return [Frame("c1", bytes([seq]) * size, seq=seq) for seq in range(count)]


def publisher_for(line: Line, **queue: object) -> FramePublisher:
    url = line.settings.redis.url.get_secret_value()
    return FramePublisher(settings_for(url, **{f"queue__{name}": value for name, value in queue.items()}))


def calls(line: Line, command: str = "evalsha") -> int:
    told = line.do("INFO", "commandstats").decode()
    found = [row for row in told.splitlines() if row.startswith(f"cmdstat_{command}:")]
    return int(found[0].split("calls=")[1].split(",")[0]) if found else 0


def test_frames_enter_in_their_order_by_one_call(line: Line) -> None:
    publisher = publisher_for(line)
    publisher.publish(Frame("c1", b"x"))  # the script is there from now on
    before = calls(line)
    published = publisher.publish_many(frames(16))
    assert calls(line) - before == 1
    assert [one.status for one in published] == ["accepted"] * 16
    assert line.waiting()[1:] == [one.id for one in published]
    read = line.consumer("w1").read(20)[1:]
    assert [dict(zip(one.flat[::2], one.flat[1::2], strict=True))[b"seq"] for one in read] == [
        b"%d" % seq for seq in range(16)
    ]
    books = line.books()
    assert (books.produced, books.backlog, books.backlog_bytes, books.uncounted) == (17, 17, 81, 0)


def test_no_frames_are_no_call(one_line: Line) -> None:
    assert publisher_for(one_line).publish_many([]) == []
    assert one_line.books().produced == 0


def test_many_large_frames_go_by_several_calls(one_line: Line) -> None:
    publisher = publisher_for(one_line)
    publisher.publish(Frame("c1", b"x"))
    before = calls(one_line)
    published = publisher.publish_many(frames(5, size=2**21))
    assert calls(one_line) - before == 3  # 4 MiB each at most
    assert len({one.id for one in published}) == 5
    assert one_line.books().backlog == 6


def test_what_finds_no_room_waits_and_what_found_it_is_in(line: Line) -> None:
    publisher = publisher_for(line, policy="block", max_frames=3)
    thread, published = in_background(lambda: publisher.publish_many(frames(5)))
    time.sleep(0.1)
    assert published == []
    first = line.waiting()
    assert len(first) == 3
    line.consumer("w1").read(3)
    line.finish(*first)
    thread.join(5)
    assert [one.id for one in published[0]] == [*first, *line.waiting()]
    assert (line.books().produced, line.books().dropped) == (5, {})


def test_those_that_find_no_room_in_time_are_dropped_one_by_one(line: Line) -> None:
    publisher = publisher_for(line, policy="block", max_frames=2, block_timeout_s=0.05)
    published = publisher.publish_many(frames(5))
    assert [one.status for one in published] == ["accepted"] * 2 + ["dropped"] * 3
    assert line.books().cameras == {"c1": {"dropped:block-timeout": 3}}


def test_a_stop_gives_up_those_that_wait(line: Line) -> None:
    publisher, stop = publisher_for(line, policy="block", max_frames=2), threading.Event()
    thread, published = in_background(lambda: publisher.publish_many(frames(3), stop))
    time.sleep(0.05)
    stop.set()
    thread.join(5)
    assert [one.status for one in published[0]] == ["accepted", "accepted", "dropped"]


def test_drop_newest_refuses_those_beyond_the_limit(line: Line) -> None:
    published = publisher_for(line, policy="drop-newest", max_frames=3).publish_many(frames(5))
    assert [one.id for one in published] == [*line.waiting(), "", ""]
    books = line.books()
    assert (books.produced, books.dropped, books.backlog_bytes) == (5, {"drop-newest": 2}, 15)


def test_drop_oldest_may_evict_what_came_by_the_same_call(line: Line) -> None:
    published = publisher_for(line, policy="drop-oldest", max_frames=3).publish_many(frames(8))
    assert [one.evicted for one in published] == [0, 0, 0, 1, 1, 1, 1, 1]
    assert line.waiting() == [one.id for one in published[-3:]]
    books = line.books()
    assert (books.produced, books.dropped, books.backlog_bytes) == (8, {"drop-oldest": 5}, 15)


def test_a_frame_too_large_keeps_all_out(one_line: Line) -> None:
    publisher = publisher_for(one_line, max_bytes=2**16)
    with pytest.raises(FrameError, match=r"queue\.max_bytes"):
        publisher.publish_many([Frame("c1", b"x"), Frame("c1", bytes(2**16 + 1))])
    assert one_line.books().produced == 0


@pytest.mark.parametrize("policy", ["block", "drop-oldest", "drop-newest"])
@pytest.mark.parametrize("lost", [1, 3])
def test_frames_whose_answer_was_lost_are_published_once(each_settings: Settings, policy: str, lost: int) -> None:
    port = int(each_settings.redis.url.get_secret_value().split(":")[2].split("/")[0])
    line = Line(each_settings)
    with LossyProxy(port) as proxy:
        queue = {"queue__policy": policy, "queue__max_frames": 3, "queue__block_timeout_s": 0.01}
        publisher = FramePublisher(settings_for(proxy.url, **queue))
        many = frames(5)
        proxy.lose = lost
        for _ in range(lost):
            with pytest.raises(StreamUnavailable):
                publisher.publish_many(many)
        # Called again, with a list of its own: the frames decide
        answers = publisher.publish_many(list(many))
        publisher.close()
    books = line.books()
    assert (books.produced, books.backlog, books.difference) == (5, 3, 0)
    assert sum(books.dropped.values()) == 2
    kept = answers[2:] if policy == "drop-oldest" else answers[:3]
    assert line.waiting() == [one.id for one in kept]


def test_a_second_call_that_fails_does_not_repeat_the_first(each_settings: Settings) -> None:
    port = int(each_settings.redis.url.get_secret_value().split(":")[2].split("/")[0])
    line = Line(each_settings)
    with LossyProxy(port) as proxy:
        publisher = FramePublisher(settings_for(proxy.url))
        many = frames(70)  # more than go by one call
        publisher.publish(Frame("c1", b"x"))
        proxy.spare = proxy.lose = 1
        with pytest.raises(StreamUnavailable):
            publisher.publish_many(many)
        published = publisher.publish_many(many)
        publisher.close()
    assert line.waiting()[1:] == [one.id for one in published]
    assert len(published) == 70
    assert line.books().produced == 71


def test_an_error_half_way_leaves_those_before_it_in_the_books(line: Line) -> None:
    # Given that there is an id left for one frame only
    line.do("XADD", line.keys.frames, LAST_ID, "camera", "c1", "data", "x")
    publisher, many = publisher_for(line), frames(2)
    # When two come, then the publisher is told to wait, and it is the first that is in
    for _ in range(2):
        with pytest.raises(StreamUnavailable, match="id far in the future"):
            publisher.publish_many(many)
    assert len(line.waiting()) == 2
    books = line.books()
    assert (books.produced, books.backlog_bytes, books.difference) == (2, 5, 0)


def test_a_server_that_is_out_of_memory_is_waited_for(line: Line, limits: Any) -> None:
    publisher, many = publisher_for(line), frames(3)
    publisher.publish_many(frames(1))
    limits(line, "maxmemory", "1")
    with pytest.raises(StreamUnavailable, match="for now"):
        publisher.publish_many(many)
    line.do("CONFIG", "SET", "maxmemory", "0")
    assert len(publisher.publish_many(many)) == 3
    assert line.books().produced == 4
