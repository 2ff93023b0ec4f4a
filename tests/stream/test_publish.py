"""Publishing: what a full queue does under each policy, and that a lost answer publishes nothing twice."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from line_settings import settings_for

from worker.errors import FrameError, SettingsError, StreamUnavailable
from worker.settings import Settings
from worker.stream.publish import FramePublisher
from worker.types import Frame

from .line_of_frames import Line, in_background, wait_until
from .lossy_proxy import LossyProxy

KIB_64 = 2**16  # the least that queue.max_bytes may be


def test_a_frame_enters_the_queue_and_the_books(line: Line) -> None:
    published = line.publish(data=b"12345")
    assert (published.status, published.evicted) == ("accepted", 0)
    assert line.waiting() == [published.id]
    books = line.books()
    assert (books.produced, books.backlog, books.backlog_bytes, books.uncounted) == (1, 1, 5, 0)


def test_drop_newest_refuses_what_comes_to_a_full_queue(line: Line) -> None:
    # Given room for two frames
    small = line.with_queue("drop-newest", max_frames=2)
    kept = [small.publish().id, small.publish().id]
    # When two more come, from two cameras
    refused = [small.publish("c1"), small.publish("c2")]
    # Then they are dropped without having been in the stream, and are counted by camera
    assert [(one.status, one.id) for one in refused] == [("dropped", ""), ("dropped", "")]
    books = line.books()
    assert line.waiting() == kept
    assert (books.produced, books.dropped, books.backlog) == (4, {"drop-newest": 2}, 2)
    assert books.cameras == {"c1": {"dropped:drop-newest": 1}, "c2": {"dropped:drop-newest": 1}}


def test_drop_oldest_makes_room_and_counts_the_victims_camera(line: Line) -> None:
    small = line.with_queue("drop-oldest", max_frames=2)
    first, second = small.publish("old").id, small.publish("c1").id
    third = small.publish("new")
    assert (third.status, third.evicted) == ("accepted", 1)
    assert line.waiting() == [second, third.id]
    assert first not in line.waiting()
    books = line.books()
    assert (books.produced, books.dropped) == (3, {"drop-oldest": 1})
    assert books.cameras == {"old": {"dropped:drop-oldest": 1}}


def test_drop_oldest_never_takes_a_frame_out_of_a_workers_hand(line: Line) -> None:
    # Given a full queue of which a worker has the two oldest in hand
    small = line.with_queue("drop-oldest", max_frames=3)
    in_hand = [small.publish().id, small.publish().id]
    undelivered = small.publish().id
    worker = line.consumer("w1")
    assert [one.id for one in worker.read(2)] == in_hand
    # When a new one comes, then it is the oldest that nobody had that goes
    newer = small.publish()
    assert line.waiting() == [*in_hand, newer.id]
    assert undelivered not in line.waiting()
    # And when every frame is in hand, then there is nothing to evict: the new one is dropped
    worker.read(10)
    last = small.publish()
    assert (last.status, last.evicted) == ("dropped", 0)
    assert line.books().dropped == {"drop-newest": 1, "drop-oldest": 1}


def test_drop_oldest_by_bytes_evicts_as_many_as_it_takes(line: Line) -> None:
    small = line.with_queue("drop-oldest", max_bytes=KIB_64)
    for _ in range(4):
        small.publish(data=bytes(KIB_64 // 4))
    big = small.publish(data=bytes(KIB_64 // 2 + 1))
    assert (big.status, big.evicted) == ("accepted", 3)
    books = line.books()
    assert (books.backlog, books.backlog_bytes) == (2, KIB_64 // 4 + KIB_64 // 2 + 1)


def test_drop_newest_by_bytes(line: Line) -> None:
    small = line.with_queue("drop-newest", max_bytes=KIB_64)
    assert small.publish(data=bytes(KIB_64)).status == "accepted"
    assert small.publish(data=b"1").status == "dropped"
    assert line.books().backlog_bytes == KIB_64


def test_block_by_bytes_waits_for_bytes(line: Line) -> None:
    small = line.with_queue("block", max_bytes=KIB_64)
    first = small.publish(data=bytes(KIB_64)).id
    thread, published = in_background(lambda: small.publish(data=b"1"))
    time.sleep(0.1)
    assert published == []
    line.consumer("w1").read(1)
    line.finish(first)
    thread.join(5)
    assert published[0].status == "accepted"
    assert line.books().backlog_bytes == 1


def test_a_frame_larger_than_the_queue_is_refused_and_not_counted(line: Line) -> None:
    small = line.with_queue("block", max_bytes=KIB_64)
    with pytest.raises(FrameError, match=r"queue\.max_bytes") as caught:
        small.publish(data=bytes(KIB_64 + 1))
    assert caught.value.reason == "too_large"
    assert line.books().produced == 0


def test_a_frame_larger_than_workers_take_is_refused_and_not_tried_for_ever(one_line: Line, limits: Any) -> None:
    limits(one_line, "proto-max-bulk-len", str(2**20))  # so that Redis cuts off whoever sends it
    publisher = FramePublisher(settings_for(one_line.settings.redis.url.get_secret_value(), limits__max_bytes=2**20))
    with pytest.raises(FrameError, match=r"limits\.max_bytes") as caught:
        publisher.publish(Frame("c1", bytes(2**20 + 1)))
    assert caught.value.reason == "too_large"
    assert publisher.publish(Frame("c1", bytes(2**20))).status == "accepted"
    publisher.close()


def test_block_waits_for_room_and_wakes(line: Line) -> None:
    # Given a full queue and a publisher that waits at it
    small = line.with_queue("block", max_frames=1)
    first = small.publish().id
    thread, published = in_background(small.publish)
    time.sleep(0.1)
    assert published == []
    assert line.books().produced == 1  # a frame that waits is not in the books yet
    # When the frame gets its verdict
    line.consumer("w1").read(1)
    line.finish(first)
    # Then the publisher goes on
    thread.join(30)
    assert line.waiting() == [published[0].id]
    assert line.books().dropped == {}


def test_block_with_a_timeout_counts_the_drop(line: Line) -> None:
    small = line.with_queue("block", max_frames=1, block_timeout_s=0.05)
    small.publish()
    assert small.publish("late").status == "dropped"
    books = line.books()
    assert (books.produced, books.dropped) == (2, {"block-timeout": 1})
    assert books.cameras == {"late": {"dropped:block-timeout": 1}}


def test_block_gives_up_when_told_to_stop(line: Line) -> None:
    small = line.with_queue("block", max_frames=1)
    small.publish()
    stop = threading.Event()
    thread, published = in_background(lambda: small.publish(stop=stop))
    time.sleep(0.05)
    stop.set()
    thread.join(5)
    assert published[0].status == "dropped"
    assert line.books().dropped == {"block-timeout": 1}


@pytest.mark.parametrize("policy", ["block", "drop-oldest", "drop-newest"])
@pytest.mark.parametrize("lost", [1, 3])
def test_a_frame_whose_answer_was_lost_is_published_once(each_settings: Settings, policy: str, lost: int) -> None:
    port = int(each_settings.redis.url.get_secret_value().split(":")[2].split("/")[0])
    line = Line(each_settings)
    with LossyProxy(port) as proxy:
        queue = {"queue__policy": policy, "queue__max_frames": 2, "queue__block_timeout_s": 0.01}
        publisher = FramePublisher(settings_for(proxy.url, **queue))
        answers = []
        for number in range(4):  # the first two find room, the others a full queue
            frame = Frame("c1", b"image", seq=number)
            # Given that the connection is cut after the script ran, so many times
            proxy.lose = lost
            for _ in range(lost):
                with pytest.raises(StreamUnavailable):
                    publisher.publish(frame)
            # When the same frame is published again, then I expect the answer that was lost
            answers.append(publisher.publish(frame))
        publisher.close()
    books = line.books()
    assert (books.produced, books.backlog, books.difference) == (4, 2, 0)
    assert sum(books.dropped.values()) == 2
    kept, other = (answers[2:], answers[:2]) if policy == "drop-oldest" else (answers[:2], answers[2:])
    assert line.waiting() == [one.id for one in kept]
    assert [bool(one.id) for one in other] == [policy == "drop-oldest"] * 2


def test_equal_frames_are_two_frames(one_line: Line) -> None:
    one, two = Frame("c1", b"image", seq=1), Frame("c1", b"image", seq=1)
    publisher = FramePublisher(one_line.settings)
    assert publisher.publish(one).id != publisher.publish(two).id
    assert publisher.publish(two).id  # even the same object, once its answer is known
    assert one_line.books().produced == 3


def test_many_publishers_at_one_full_queue_keep_its_limit_and_the_books(line: Line) -> None:
    small = line.with_queue("drop-oldest", max_frames=5)
    threads = [
        in_background(lambda name=name: [Line(small.settings).publish(name) for _ in range(20)])
        for name in ("c1", "c2", "c3")
    ]
    for thread, _ in threads:
        thread.join(20)
    books = line.books()
    assert (books.produced, books.backlog, books.dropped) == (60, 5, {"drop-oldest": 55})


def test_a_server_that_is_out_of_memory_is_waited_for(line: Line, limits: Any) -> None:
    line.publish()
    limits(line, "maxmemory", "1")
    with pytest.raises(StreamUnavailable, match="for now"):
        line.publish()
    line.do("CONFIG", "SET", "maxmemory", "0")
    assert line.publish().status == "accepted"
    assert line.books().produced == 2


def test_a_server_that_is_away_is_waited_for() -> None:
    publisher = FramePublisher(settings_for("redis://127.0.0.1:1/0"))
    with pytest.raises(StreamUnavailable, match="cannot be reached"):
        publisher.publish(Frame("c1", b"x"))


def test_a_killed_connection_is_made_again(one_line: Line) -> None:
    one_line.publish()
    killer = one_line.with_queue("block")
    killer.do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    frame = Frame("c1", b"x")
    publisher = FramePublisher(one_line.settings, one_line.client)
    try:
        publisher.publish(frame)
    except StreamUnavailable:
        publisher.publish(frame)
    assert one_line.books().produced == 2


def test_a_wrong_password_is_no_outage_to_wait_for(one_line: Line, limits: Any) -> None:
    limits(one_line, "requirepass", "right")
    url = one_line.settings.redis.url.get_secret_value().replace("redis://", "redis://:wrong@")
    publisher = FramePublisher(settings_for(url))
    with pytest.raises(SettingsError, match=r"redis\.url.*login"):
        publisher.publish(Frame("c1", b"x"))


def test_what_a_publisher_remembers_goes_away_by_itself(one_line: Line) -> None:
    one_line.publish()
    remembered = one_line.do("KEYS", "{test}:publisher:*")
    assert len(remembered) == 1
    assert 0 < one_line.do("TTL", remembered[0]) <= 86_400


def test_scripts_forgotten_by_the_server_are_sent_again(line: Line) -> None:
    line.publish()
    line.do("SCRIPT", "FLUSH")
    line.publish()
    wait_until(lambda: line.books().produced == 2)


def test_a_server_that_became_a_replica_is_waited_for(line: Line) -> None:
    line.publish()
    line.do("REPLICAOF", "127.0.0.1", "1")
    try:
        with pytest.raises(StreamUnavailable, match=r"for now.*(READONLY|read only)"):
            line.publish()
    finally:
        line.do("REPLICAOF", "NO", "ONE")
    assert line.publish().status == "accepted"
    assert line.books().produced == 2


def test_an_empty_frame_can_make_room_for_another(line: Line) -> None:
    small = line.with_queue("drop-oldest", max_frames=1)
    small.publish(data=b"")
    assert small.publish().evicted == 1
    books = small.books()
    assert (books.dropped, books.backlog, books.difference) == ({"drop-oldest": 1}, 1, 0)
    small.close()
