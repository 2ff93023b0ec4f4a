"""What a publisher is told of its frames, and whether anybody is there to tell it."""

from __future__ import annotations

import time

import pytest

from worker.errors import StreamUnavailable
from worker.stream.connection import connect
from worker.stream.replies import DeadReply, Replies
from worker.stream.seen import LineSeen, look_at_line
from worker.types import Result, Verdict

from .line_of_frames import Line, in_background


def replies_of(line: Line, token: str = "t") -> Replies:
    return Replies(connect(line.settings), line.keys, token)


def delivered(line: Line, count: int) -> list[str]:
    ids = [line.publish().id for _ in range(count)]
    line.consumer("w1").read(count)
    return ids


def test_results_and_dead_letters_are_told_in_their_order_and_taken_off(line: Line) -> None:
    replies = replies_of(line)
    first, second, third = delivered(line, 3)
    line.finish(first, verdict=Verdict.NG, reply_to="t")
    line.bury(second, reason="damaged", reply_to="t")
    line.finish(third, reply_to="another")
    result, letter = replies.read()
    assert isinstance(result, Result)
    assert (result.frame, result.verdict, result.score) == (first, Verdict.NG, 0.5)
    assert letter == DeadReply(second, "damaged", "it ends early")
    assert replies.read(block_ms=1) == []
    assert line.do("XLEN", line.keys.reply("t")) == 0


def test_what_was_read_last_can_be_taken_off_too(line: Line) -> None:
    replies = replies_of(line)
    line.finish(*delivered(line, 2), reply_to="t")
    assert len(replies.read()) == 2
    replies.delete_read()
    assert line.do("XLEN", line.keys.reply("t")) == 0
    replies.delete_read()


def test_a_reader_waits_for_the_first_reply_also_where_earlier_ones_were_taken_off(line: Line) -> None:
    replies = replies_of(line)
    for _ in range(3):
        (frame,) = delivered(line, 1)
        thread, told = in_background(lambda: replies.read(block_ms=2_000))
        time.sleep(0.02)
        began = time.monotonic()
        line.finish(frame, reply_to="t")
        thread.join()
        assert [one.frame for one in told[0]] == [frame]
        assert time.monotonic() - began < 1


def test_a_stream_that_began_anew_with_earlier_ids_is_read_whole(line: Line) -> None:
    replies, key = replies_of(line), line.keys.reply("t")
    line.do("XADD", key, "9999999999999-0", "frame", "f1", "reason", "late", "error", "e")
    assert len(replies.read()) == 1
    line.do("DEL", key)
    line.do("XADD", key, "5-0", "frame", "f2", "reason", "late", "error", "e")
    assert [one.frame for one in replies.read()] == ["f2"]


def test_what_is_not_ours_on_the_stream_is_left_out_and_taken_off(line: Line) -> None:
    replies, key = replies_of(line), line.keys.reply("t")
    line.do("XADD", key, "*", "verdict", "MAYBE", "frame", "f1")
    line.do("XADD", key, "*", "reason", b"\xff", "frame", "f1")
    line.do("XADD", key, "*", "reason", "r", "frame", "f2", "error", "e")
    assert replies.read() == [DeadReply("f2", "r", "e")]
    replies.delete_read()
    assert line.do("XLEN", key) == 0


def test_a_redis_that_is_away_is_told(one_line: Line) -> None:
    gone = one_line.settings.model_copy(
        update={"redis": one_line.settings.redis.model_copy(update={"url": _url("redis://127.0.0.1:1/0")})}
    )
    with pytest.raises(StreamUnavailable):
        Replies(connect(gone), one_line.keys, "t").read(block_ms=1)
    with pytest.raises(StreamUnavailable):
        look_at_line(connect(gone), one_line.keys, within_s=1.0)


def _url(text: str) -> object:
    from pydantic import SecretStr

    return SecretStr(text)


def test_workers_are_seen_while_they_show_up(line: Line) -> None:
    # Given nobody who ever came
    assert look_at_line(line.client, line.keys, within_s=10.0) == LineSeen(0, "")
    # When two come, and one goes on showing up
    first, _ = line.consumer("w1"), line.consumer("w2")
    assert look_at_line(line.client, line.keys, within_s=10.0).workers == 2
    time.sleep(0.3)
    first.show_up()
    assert look_at_line(line.client, line.keys, within_s=0.25).workers == 1
    # And one that leaves is gone at once
    first.leave()
    assert look_at_line(line.client, line.keys, within_s=10.0).workers == 1


def test_the_model_is_that_of_the_last_result(line: Line) -> None:
    line.do("XADD", line.keys.results, "*", "verdict", "OK", "frame", "1-1", "model", "tiles-v2")
    assert look_at_line(line.client, line.keys, within_s=1.0).model == "tiles-v2"
    line.do("XADD", line.keys.results, "*", "something", "else")
    assert look_at_line(line.client, line.keys, within_s=1.0).model == ""
