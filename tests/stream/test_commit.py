"""Commit: one verdict or dead letter a frame, in one step with its acknowledgement, deletion and count."""

from __future__ import annotations

import pytest
from line_settings import settings_for

from worker.errors import StreamError
from worker.settings import Settings
from worker.stream.fields import result_from_fields
from worker.types import Verdict

from .line_of_frames import Line, dead, finished


def test_a_verdict_ends_the_frame_and_is_counted(line: Line) -> None:
    ids = [line.publish("c1").id, line.publish("c2").id]
    line.consumer("w1").read(10)
    assert line.committer.commit([finished(ids[0], "c1"), finished(ids[1], "c2", Verdict.NG)]) == [True, True]
    books = line.books()
    assert [(one.frame, one.camera, one.verdict) for one in line.results()] == [
        (ids[0], "c1", Verdict.OK),
        (ids[1], "c2", Verdict.NG),
    ]
    assert (books.backlog, books.backlog_bytes, books.pending) == (0, 0, 0)
    assert books.verdicts == {"OK": 1, "NG": 1, "INVALID": 0, "LATE": 0}
    assert books.cameras == {"c1": {"verdict:OK": 1}, "c2": {"verdict:NG": 1}}


def test_two_workers_with_the_same_frame_in_hand_give_one_result(line: Line) -> None:
    # Given a frame that w1 was slow with and w2 took over
    frame = line.publish().id
    line.consumer("w1").read(1)
    assert line.consumer("w2", idle_ms=0).recover_idle()
    # When both commit, each its own verdict
    first = line.finish(frame, verdict=Verdict.NG)
    second = line.finish(frame, verdict=Verdict.OK)
    # Then only the first counts
    assert (first, second) == ([True], [False])
    assert [one.verdict for one in line.results()] == [Verdict.NG]
    assert line.books().verdicts["OK"] == 0


def test_in_a_batch_only_the_frames_that_are_ones_own_are_written(line: Line) -> None:
    ids = [line.publish().id for _ in range(3)]
    line.consumer("w1").read(3)
    line.finish(ids[1])
    assert line.finish(*ids) == [True, False, True]
    assert [one.frame for one in line.results()] == [ids[1], ids[0], ids[2]]


def test_a_commit_whose_answer_was_lost_is_safe_to_repeat(line: Line) -> None:
    ids = [line.publish().id, line.publish().id]
    line.consumer("w1").read(2)
    for _ in range(2):
        line.committer.commit([finished(ids[0]), dead(ids[1])])
    books = line.books()
    assert (len(line.results()), books.dead, books.dead_letters_kept) == (1, 1, 1)


def test_a_frame_whose_consumer_or_group_was_deleted_is_ended_by_who_has_it_in_hand(line: Line) -> None:
    for command in (("DELCONSUMER", line.keys.frames, "inspect", "w1"), ("DESTROY", line.keys.frames, "inspect")):
        frame = line.publish().id
        line.consumer("w1").read(1)
        line.do("XGROUP", *command)
        assert line.finish(frame) == [True]
        assert line.finish(frame) == [False]
        assert line.waiting() == []
    books = line.books()
    assert (books.verdicts["OK"], books.difference, books.backlog) == (2, 0, 0)


@pytest.mark.parametrize("bury", [False, True])
def test_whatever_stands_at_the_reply_key_does_not_keep_a_frame_from_its_end(line: Line, bury: bool) -> None:
    # Given a reply key that is no stream
    line.do("RPUSH", line.keys.reply("mine"), "x")
    ids = [line.publish().id for _ in range(2)]
    line.consumer("w1").read(2)
    # When its frame and a neighbour are ended
    end = line.bury if bury else line.finish
    assert [*end(ids[0], reply_to="mine"), *end(ids[1])] == [True, True]
    # Then both are, and the books balance
    books = line.books()
    assert (books.backlog, books.pending, books.difference) == (0, 0, 0)
    assert len(line.results()) + len(list(line.letters.list())) == 2


def test_a_dead_letter_keeps_the_entry_as_it_came(line: Line) -> None:
    # Given an entry with fields that no codec of ours would write
    raw = ["camera", "c1", "data", b"\xff\x00\xd8", "note", b"\xfe", "camera", "again"]
    frame = line.do("XADD", line.keys.frames, "*", *raw).decode()
    line.consumer("w1").read(1)
    # When it is buried
    assert line.bury(frame, reason="unknown_field") == [True]
    # Then it has left the stream, and its bytes are all there
    (letter,) = line.letters.list()
    assert line.waiting() == line.pending() == []
    assert (letter.frame, letter.camera, letter.reason, letter.attempts) == (frame, "c1", "unknown_field", 1)
    assert letter.original["data"] == b"\xff\x00\xd8"
    assert letter.original["note"] == b"\xfe"
    books = line.books()
    assert (books.produced, books.dead, books.cameras) == (1, 1, {"c1": {"dead:unknown_field": 1}})


def test_an_entry_with_thousands_of_fields_is_buried_too(line: Line) -> None:
    raw = [part for number in range(20_000) for part in (f"f{number}", "x")]
    frame = line.do("XADD", line.keys.frames, "*", *raw).decode()
    line.consumer("w1").read(1)
    assert line.bury(frame, camera="?") == [True]
    assert line.books().dead == 1


def test_a_reply_waits_for_its_client_and_then_goes_away(line: Line) -> None:
    ids = [line.publish().id, line.publish().id]
    line.consumer("w1").read(2)
    line.finish(ids[0], reply_to="t1", verdict=Verdict.NG)
    line.bury(ids[1], reply_to="t2")
    ((entry_id, flat),) = line.do("XRANGE", line.keys.reply("t1"), "-", "+")
    assert result_from_fields(entry_id.decode(), flat).verdict is Verdict.NG
    ((_, flat),) = line.do("XRANGE", line.keys.reply("t2"), "-", "+")
    reply = dict(zip(flat[::2], flat[1::2], strict=True))
    assert (reply[b"frame"], reply[b"reason"]) == (ids[1].encode(), b"truncated")
    assert not any(name.startswith(b"original.") for name in reply)  # the client has the image already
    assert 0 < line.do("TTL", line.keys.reply("t1")) <= line.settings.keep.reply_s
    assert 0 < line.do("TTL", line.keys.reply("t2")) <= line.settings.keep.reply_s


def test_a_foreign_clients_frame_is_in_the_books_before_and_after_its_verdict(line: Line) -> None:
    ours, foreign = line.publish().id, line.foreign()
    before = line.books()
    assert (before.produced, before.backlog, before.difference) == (2, 2, 0)
    line.consumer("w1").read(2)
    line.finish(ours, foreign)
    after = line.books()
    assert (after.produced, after.uncounted, after.verdicts["OK"], after.backlog_bytes) == (2, 0, 2, 0)


def test_results_and_dead_letters_are_trimmed_to_about_what_is_kept(each_settings: Settings) -> None:
    url = each_settings.redis.url.get_secret_value()
    line = Line(settings_for(url, keep__results=100, keep__dead=100))
    ids = [line.publish().id for _ in range(1_000)]
    worker = line.consumer("w1")
    worker.read(1_000)
    line.finish(*ids[:500])
    line.bury(*ids[500:])
    books = line.books()
    assert 100 <= len(line.results()) < 300
    assert 100 <= books.dead_letters_kept < 300
    assert (books.verdicts["OK"], books.dead, books.difference) == (500, 500, 0)  # the books forget nothing


def test_the_books_agree_also_where_the_stream_is_younger_than_they_are(line: Line) -> None:
    # Given books of some frames, and a stream that was made anew, or comes from a server that did not count
    worker = line.consumer("w1")
    for _ in range(3):
        line.publish()
    line.finish(*[delivery.id for delivery in worker.read(3)])
    line.do("DEL", line.keys.frames)
    # When foreign frames come, then they are in the books before and after their verdict
    line.foreign()
    line.foreign()
    before = line.books()
    assert (before.produced, before.backlog, before.difference) == (5, 2, 0)
    assert worker.read(1, block_ms=1) == []  # makes the group
    line.finish(*[delivery.id for delivery in worker.read(2)])
    assert (line.books().produced, line.books().uncounted, line.books().difference) == (5, 0, 0)


def test_a_replayed_letter_is_a_new_frame_and_the_books_balance(line: Line) -> None:
    frame = line.publish("c7", b"12345").id
    worker = line.consumer("w1")
    worker.read(1)
    line.bury(frame, camera="c7")
    letter = line.letters.get(frame)  # found by its frame's id as by its own
    assert letter == line.letters.get(letter.id)
    # When it is replayed, then it is delivered as a frame like any other
    again = line.letters.replay(letter.id)
    assert line.books().backlog_bytes == 5
    (delivery,) = worker.read(1)
    assert (delivery.id, delivery.flat[:4]) == (again, [b"camera", b"c7", b"data", b"12345"])
    line.finish(again, camera="c7")
    books = line.books()
    assert (books.produced, books.dead, books.verdicts["OK"], books.dead_letters_kept) == (2, 1, 1, 0)
    # And a second replay of the same letter finds it gone
    with pytest.raises(StreamError, match="gone"):
        line.letters.replay(letter.id)


def test_a_letter_that_kept_no_frame_cannot_be_replayed_and_stays(line: Line) -> None:
    frame = line.publish().id
    line.consumer("w1").read(1)
    line.do("XDEL", line.keys.frames, frame)
    line.bury(frame)
    (letter,) = line.letters.list()
    with pytest.raises(StreamError, match="no fields"):
        line.letters.replay(letter.id)
    assert line.books().dead_letters_kept == 1


def test_purging_deletes_the_letter_and_keeps_the_count(line: Line) -> None:
    ids = [line.publish().id for _ in range(3)]
    line.consumer("w1").read(3)
    line.bury(*ids[:2])
    line.bury(ids[2], camera="c2", reason="too_small")
    (letter,) = line.letters.list(camera="c2")
    assert letter.reason == "too_small"
    assert [one.frame for one in line.letters.list(reason="truncated")] == ids[:2]
    assert line.letters.purge(letter.id)
    assert not line.letters.purge(letter.id)
    assert (line.books().dead, line.books().dead_letters_kept) == (3, 2)
    with pytest.raises(StreamError, match=r"no dead letter 9-9.*dead list"):
        line.letters.get("9-9")


def test_a_letters_own_id_goes_before_another_letters_frame(one_line: Line) -> None:
    # Given a letter whose frame has the id of a later letter, as happens within a millisecond
    fields = ["camera", "c1", "reason", "truncated", "attempts", 1]
    one_line.do("XADD", one_line.keys.dead, "5-0", "frame", "7-0", *fields)
    one_line.do("XADD", one_line.keys.dead, "7-0", "frame", "6-0", *fields)
    assert one_line.letters.get("7-0").id == "7-0"
    assert one_line.letters.get("6-0").id == "7-0"
    for odd in ("abc", "", "7", "-", "99999999999999999999-0"):
        with pytest.raises(StreamError):
            one_line.letters.get(odd)


def test_letters_are_listed_page_by_page_without_gap_or_double(one_line: Line) -> None:
    ids = [one_line.publish().id for _ in range(205)]
    one_line.consumer("w1").read(205)
    one_line.bury(*ids)
    assert [one.frame for one in one_line.letters.list()] == ids


def test_a_client_that_makes_up_camera_names_cannot_fill_the_memory(one_line: Line) -> None:
    many = [part for number in range(20_000) for part in (f"x{number}:verdict:OK", 1)]
    one_line.do("HSET", one_line.keys.cameras, *many)
    ids = [one_line.publish("new").id, one_line.publish("new").id]
    one_line.consumer("w1").read(2)
    one_line.finish(*ids, camera="new")
    assert one_line.do("HLEN", one_line.keys.cameras) == 20_001
    assert one_line.books().cameras["?"] == {"verdict:OK": 2}


def test_a_large_batch_is_one_step(one_line: Line) -> None:
    ids = [one_line.publish().id for _ in range(256)]
    one_line.consumer("w1").read(256)
    assert all(one_line.finish(*ids))


def test_an_empty_frame_of_ours_is_buried_like_any_other(line: Line) -> None:
    frame = line.publish(data=b"").id
    line.consumer("w1").read(1)
    assert line.bury(frame, reason="empty") == [True]
    books = line.books()
    assert (books.dead, books.backlog, books.backlog_bytes, books.difference) == (1, 0, 0, 0)


@pytest.mark.parametrize("key", ["results", "dead", "ledger", "cameras", "sizes"])
def test_a_key_of_another_type_stops_a_commit_before_it_writes_anything(line: Line, key: str) -> None:
    # Given a frame in work, and a program that overwrites one of the line's keys
    frame = line.publish().id
    line.consumer("w1").read(1)
    name, aside = getattr(line.keys, key), "{test}:aside"
    if there := line.do("EXISTS", name):
        line.do("RENAME", name, aside)
    line.do("SET", name, "x")
    # Then nothing is half done
    with pytest.raises(StreamError, match="WRONGTYPE"):
        line.finish(frame)
    assert line.waiting() == line.pending() == [frame]
    # And once the key is right again the frame is ended
    line.do("DEL", name)
    if there:
        line.do("RENAME", aside, name)
    assert line.finish(frame) == [True]
