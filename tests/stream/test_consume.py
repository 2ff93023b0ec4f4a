"""Taking frames, taking over what dead workers left, and healing when the group or the scripts are gone."""

from __future__ import annotations

import time

import pytest

from worker.errors import StreamError, StreamUnavailable
from worker.stream.connection import connect
from worker.stream.consume import FrameConsumer, consumer_count

from .line_of_frames import IDLE_MS, Line, in_background


def test_frames_are_delivered_in_order_and_to_one_worker_each(line: Line) -> None:
    ids = [line.publish().id for _ in range(5)]
    one, two = line.consumer("w1"), line.consumer("w2")
    assert [delivery.id for delivery in one.read(3)] == ids[:3]
    assert [delivery.id for delivery in two.read(3)] == ids[3:]
    assert one.read(3, block_ms=1) == two.read(3, block_ms=1) == []


def test_frames_from_before_the_first_worker_are_not_lost(line: Line) -> None:
    frame = line.publish().id
    assert [delivery.id for delivery in line.consumer("w1").read(1)] == [frame]


def test_a_read_waits_for_a_frame_and_wakes_with_it(line: Line) -> None:
    worker = line.consumer("w1")
    thread, read = in_background(lambda: worker.read(1, block_ms=5_000))
    time.sleep(0.05)
    frame = line.publish().id
    thread.join(1)
    assert [delivery.id for delivery in read[0]] == [frame]


def test_a_restarted_worker_takes_up_what_it_had_one_at_a_time_and_counts_attempts(line: Line) -> None:
    # Given a worker that died with three frames in hand
    ids = [line.publish(data=b"%d" % number).id for number in range(3)]
    line.consumer("w1").read(3)
    # When one of the same name starts, then it gets the oldest only, as its second delivery
    again = line.consumer("w1")
    delivery = again.recover_own()
    assert delivery is not None
    assert (delivery.id, delivery.attempts, delivery.flat[2:4]) == (ids[0], 2, [b"data", b"0"])
    # And while that kills it life after life, the count of the others does not grow with it
    for attempts in (3, 4):
        delivery = line.consumer("w1").recover_own()
        assert delivery is not None
        assert (delivery.id, delivery.attempts) == (ids[0], attempts)
    line.bury(ids[0])
    delivery = again.recover_own()
    assert delivery is not None
    assert (delivery.id, delivery.attempts) == (ids[1], 2)
    line.finish(*ids[1:])
    assert again.recover_own() is None


def test_a_worker_does_not_take_up_what_another_has(line: Line) -> None:
    line.publish()
    line.consumer("w1").read(1)
    assert line.consumer("w2").recover_own() is None


def test_frames_of_a_dead_worker_go_to_another_once_they_are_idle(line: Line) -> None:
    ids = [line.publish().id for _ in range(2)]
    line.consumer("w1").read(2)
    other = line.consumer("w2")
    # Not at once: the first may just be slow
    assert not other.has_idle()
    assert other.recover_idle() is None
    time.sleep(IDLE_MS / 1000 + 0.02)
    assert other.has_idle()
    taken = [other.recover_idle(), other.recover_idle()]
    assert [(one.id, one.attempts) for one in taken if one] == [(ids[0], 2), (ids[1], 2)]
    # What was taken over is in work: it is not idle for a third
    assert line.consumer("w3").recover_idle() is None
    assert line.finish(*ids) == [True, True]


def test_a_frame_whose_lease_is_renewed_is_not_taken_over(line: Line) -> None:
    frame = line.publish().id
    slow, other = line.consumer("w1"), line.consumer("w2")
    slow.read(1)
    time.sleep(IDLE_MS / 1000 + 0.02)
    slow.renew([frame])
    assert not other.has_idle()
    assert other.recover_idle() is None
    slow.renew([])
    time.sleep(IDLE_MS / 1000 + 0.02)
    (delivery,) = [other.recover_idle()]
    assert delivery is not None
    assert delivery.attempts == 2  # renewing is no delivery


def test_the_sweep_goes_on_behind_frames_that_are_not_idle(line: Line) -> None:
    # Given an old frame that is renewed and a newer one that was left behind
    ids = [line.publish().id, line.publish().id]
    keeper, gone = line.consumer("w1"), line.consumer("w2")
    keeper.read(1)
    gone.read(1)
    time.sleep(IDLE_MS / 1000 + 0.02)
    keeper.renew(ids[:1])
    other = line.consumer("w3")
    found = [delivery.id for _ in range(4) if (delivery := other.recover_idle())]
    assert found == ids[1:]


@pytest.mark.parametrize("scope", ["own", "idle"])
def test_frames_deleted_from_outside_are_counted_and_hold_nothing_up(line: Line, scope: str) -> None:
    # Given four frames in hand of which someone deleted the first and the third
    ids = [line.publish().id for _ in range(4)]
    line.consumer("w1").read(4)
    line.do("XDEL", line.keys.frames, ids[0], ids[2])
    # When they are recovered
    worker = line.consumer("w1" if scope == "own" else "w2", idle_ms=0)
    found = []
    for _ in range(8):
        delivery = worker.recover_own() if scope == "own" else worker.recover_idle()
        if delivery:
            found.append(delivery.id)
            line.finish(delivery.id)
    # Then the two that are left get their verdict and the others are in the books
    assert found == [ids[1], ids[3]]
    assert line.pending() == []
    books = line.books()
    assert (books.dropped, books.backlog, books.difference) == ({"deleted": 2}, 0, 0)


def test_a_restarted_worker_finds_what_it_had_behind_frames_that_were_deleted(line: Line) -> None:
    ids = [line.publish().id for _ in range(4)]
    line.consumer("w1").read(4)
    line.do("XDEL", line.keys.frames, *ids[:3])
    delivery = line.consumer("w1").recover_own()
    assert delivery is not None
    assert (delivery.id, delivery.attempts) == (ids[3], 2)
    assert line.books().dropped == {"deleted": 3}


def test_a_deleted_frame_is_counted_once_also_when_the_queue_ran_empty_meanwhile(line: Line) -> None:
    # Given two frames in hand, of which one is deleted and the other gets its verdict
    ids = [line.publish().id, line.publish().id]
    line.consumer("w1").read(2)
    line.do("XDEL", line.keys.frames, ids[0])
    line.finish(ids[1])
    # When the deleted one is found, then it is not taken for a foreign one that nobody had counted
    assert line.consumer("w1").recover_own() is None
    books = line.books()
    assert (books.produced, books.dropped, books.difference) == (2, {"deleted": 1}, 0)
    assert books.backlog_bytes == 0


def test_a_frame_deleted_in_work_is_counted_also_where_its_lease_is_renewed(line: Line) -> None:
    # Given two frames in hand, of which someone deletes one
    ids = [line.publish().id, line.publish().id]
    worker = line.consumer("w1")
    worker.read(2)
    line.do("XDEL", line.keys.frames, ids[0])
    # When their leases are renewed and both get a verdict
    worker.renew(ids)
    worker.renew(ids)
    line.finish(*ids)
    # Then each has one end: Redis 7 took the deleted one off the pending list when it was renewed
    books = line.books()
    assert books.verdicts["OK"] + books.dropped.get("deleted", 0) == 2
    assert (books.produced, books.backlog, books.pending, books.backlog_bytes) == (2, 0, 0, 0)
    assert len(line.results()) == books.verdicts["OK"]


def test_a_verdict_on_a_frame_deleted_meanwhile_still_counts_once(line: Line) -> None:
    ids = [line.publish().id, line.publish().id]
    line.consumer("w1").read(2)
    line.do("XDEL", line.keys.frames, ids[0])
    line.finish(ids[1])
    assert line.finish(ids[0]) == [True]
    books = line.books()
    assert (books.produced, books.verdicts["OK"]) == (2, 2)


def test_bytes_of_frames_deleted_from_outside_are_forgotten_when_the_queue_runs_empty(line: Line) -> None:
    ids = [line.publish(data=bytes(100)).id, line.publish().id]
    worker = line.consumer("w1")
    line.do("XDEL", line.keys.frames, ids[0])
    worker.read(1)
    line.finish(ids[1])
    assert line.books().backlog_bytes == 0
    assert line.do("EXISTS", line.keys.sizes) == 0
    line.do("HINCRBY", line.keys.ledger, "dropped:test", 1)  # nobody can count what was deleted unread


def test_the_whole_database_flushed_is_healed_by_the_next_read(line: Line) -> None:
    worker = line.consumer("w1")
    line.publish()
    worker.read(1)
    line.do("FLUSHALL")
    # What is published before the worker notices is not lost
    frame = line.publish().id
    assert worker.read(1, block_ms=1) == []
    assert [delivery.id for delivery in worker.read(1)] == [frame]
    assert line.finish(frame) == [True]
    assert line.books().produced == 1


def test_a_destroyed_group_is_made_again_from_the_beginning(line: Line) -> None:
    # Given a frame in work and one waiting
    ids = [line.publish().id, line.publish().id]
    worker = line.consumer("w1")
    worker.read(1)
    line.do("XGROUP", "DESTROY", line.keys.frames, "inspect")
    # Then every step of a worker bears it
    assert not worker.has_idle()
    worker.renew(ids[:1])
    assert line.finish(ids[0]) == [True]  # nobody else has ended it
    assert worker.recover_own() is None  # makes the group
    assert [delivery.id for delivery in worker.read(2)] == ids[1:]
    assert line.finish(*ids) == [False, True]


def test_a_group_that_is_destroyed_while_a_worker_joins_does_not_end_it(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = line.consumer("w1")
    join = worker._join

    def join_in_vain() -> None:
        join()
        line.do("XGROUP", "DESTROY", line.keys.frames, "inspect")

    with monkeypatch.context() as patch:
        patch.setattr(worker, "_join", join_in_vain)
        worker.join()
    frame = line.publish().id
    assert worker.read(1) == []  # makes it
    assert [delivery.id for delivery in worker.read(1)] == [frame]
    line.finish(frame)


def test_a_destroyed_group_is_made_again_by_the_sweep(line: Line) -> None:
    worker = line.consumer("w1")
    line.do("XGROUP", "DESTROY", line.keys.frames, "inspect")
    assert worker.recover_idle() is None
    assert worker.recover_idle() is None
    frame = line.publish().id
    assert [delivery.id for delivery in worker.read(1)] == [frame]


def test_forgotten_scripts_are_sent_again(line: Line) -> None:
    frame = line.publish().id
    worker = line.consumer("w1")
    worker.read(1)
    line.do("SCRIPT", "FLUSH")
    assert worker.recover_own() is not None
    line.do("SCRIPT", "FLUSH")
    assert line.finish(frame) == [True]


def test_joining_twice_is_joining_once(line: Line) -> None:
    line.consumer("w1")
    line.consumer("w1")
    assert consumer_count(line.client, line.keys) == 1


def test_a_line_that_nobody_used_has_no_workers(one_line: Line) -> None:
    assert consumer_count(one_line.client, one_line.keys) == 0
    assert one_line.books().produced == 0


def test_a_key_of_another_type_is_told_and_not_waited_for(one_line: Line) -> None:
    one_line.do("SET", one_line.keys.frames, "not a stream")
    with pytest.raises(StreamError, match="WRONGTYPE") as caught:
        one_line.consumer("w1")
    assert not isinstance(caught.value, StreamUnavailable)
    one_line.do("DEL", one_line.keys.frames)


def test_a_frame_that_was_deleted_with_its_consumer_is_taken_over(line: Line) -> None:
    # Given a worker that is deleted with two of three frames in hand, and is dead
    ids = [line.publish().id for _ in range(3)]
    line.consumer("w1").read(2)
    line.do("XGROUP", "DELCONSUMER", line.keys.frames, "inspect", "w1")
    # When another looks around
    other = line.consumer("w2", idle_ms=60_000)
    found = []
    while other.has_idle():
        delivery = other.recover_idle()
        assert delivery is not None
        found.append((delivery.id, delivery.attempts))
        line.finish(delivery.id)
    # Then it finds both, as frames that were tried before, and reads the third as usual
    assert found == [(ids[0], 2), (ids[1], 2)]
    assert [delivery.id for delivery in other.read(3)] == ids[2:]
    assert line.books().difference == 0


def test_frames_in_work_or_waiting_are_no_orphans(line: Line) -> None:
    worker = line.consumer("w1", idle_ms=60_000)
    assert not worker.has_idle()
    line.publish()
    assert not worker.has_idle()
    worker.read(1)
    assert not worker.has_idle()
    assert worker.recover_idle() is None


def test_a_worker_leaves_only_with_empty_hands_and_also_where_the_group_is_gone(line: Line) -> None:
    one, two = line.consumer("w1"), line.consumer("w2")
    line.publish()
    one.read(1)
    one.leave()
    two.leave()
    assert consumer_count(line.client, line.keys) == 1
    assert len(line.pending()) == 1
    line.finish(*line.pending())
    one.leave()
    assert consumer_count(line.client, line.keys) == 0
    line.do("FLUSHALL")
    one.leave()


def test_a_worker_that_is_gone_for_good_is_forgotten_by_one_that_lives_once_its_frames_are_taken_over(
    line: Line,
) -> None:
    # Given one that is dead with a frame in hand, and one that does not show up, with none
    frame = line.publish().id
    line.consumer("dead").read(1)
    slow = line.consumer("slow")
    living = FrameConsumer(connect(line.settings), line.keys, "living", IDLE_MS, forget_after_s=0.1)
    living.join()
    living.show_up()
    assert consumer_count(line.client, line.keys) == 3
    # When another one shows up later
    time.sleep(0.2)
    living.show_up()
    # Then only the one without a frame is forgotten, and the other when its frame is taken over
    assert consumer_count(line.client, line.keys) == 2
    taken = living.recover_idle()
    assert taken is not None
    assert taken.id == frame
    living.show_up()
    assert consumer_count(line.client, line.keys) == 1
    # And one that was only slow comes back by reading
    late = line.publish().id
    assert [delivery.id for delivery in slow.read(1)] == [late]


def test_a_reader_that_is_sent_away_when_the_stream_is_deleted_may_come_again(line: Line) -> None:
    worker = line.consumer("w1")
    thread, outcome = in_background(lambda: _read_or_error(worker))
    time.sleep(0.2)
    line.do("DEL", line.keys.frames)
    thread.join(10)
    assert outcome[0] == [] or isinstance(outcome[0], StreamUnavailable)  # Redis 6.2 leaves it waiting, 7 sends it away
    frame = line.publish().id
    assert [delivery.id for _ in range(2) for delivery in worker.read(1, block_ms=100)] == [frame]


def _read_or_error(worker: FrameConsumer) -> object:
    try:
        return worker.read(1, block_ms=1_000)
    except StreamUnavailable as error:
        return error
