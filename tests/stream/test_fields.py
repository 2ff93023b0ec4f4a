"""The field codec: what we write is read back, and what others write is checked field by field."""

from __future__ import annotations

import math
import re
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import FieldError, StreamError
from worker.runtime.verdict import lateness_ms
from worker.settings import LimitSettings
from worker.stream.connection import Client
from worker.stream.fields import (
    FRAME_FIELDS,
    camera_of,
    entry_time_ns,
    flat_fields,
    frame_from_fields,
    frame_to_fields,
    reply_token_of,
    result_from_fields,
    result_to_fields,
)
from worker.stream.keys import LineKeys
from worker.types import Encoding, Frame, Region, Result, Verdict

ENTRY = "1700000000123-7"
ENTRY_NS = 1_700_000_000_123_000_000
NOW_NS = ENTRY_NS + 10**9
CAMERA, DATA = [b"camera", b"c1"], [b"data", b"\xff\xd8"]

names = st.from_regex(r"\A[A-Za-z0-9_.-]{1,64}\Z")
tokens = st.just("") | st.from_regex(r"\A[A-Za-z0-9_-]{1,64}\Z")
counts = st.integers(0, 2**63 - 1)
printable = st.text(max_size=128).filter(str.isprintable)


@st.composite
def frames(draw: st.DrawFn) -> Frame:
    encoding = draw(st.sampled_from(Encoding))
    raw = bool(encoding.raw_channels)
    return Frame(
        camera=draw(names),
        data=draw(st.binary(min_size=1, max_size=50)),
        encoding=encoding,
        width=draw(st.integers(1, 2**40)) if raw else 0,
        height=draw(st.integers(1, 2**40)) if raw else 0,
        seq=draw(st.none() | counts),
        captured_at=draw(st.integers(1, 2**63 - 1)),
        part_id=draw(printable),
        deadline_ms=draw(counts),
        reply_to=draw(tokens),
        id=ENTRY,
        published_at=ENTRY_NS,
    )


floats = st.none() | st.floats(allow_nan=False)
sizes = st.none() | st.tuples(st.integers(1, 9999), st.integers(1, 9999))
regions = st.builds(Region, *[st.integers(0, 9999)] * 5, st.floats(0, 10))
results = st.builds(
    Result,
    frame=st.just("1-0"),
    camera=names,
    verdict=st.sampled_from(Verdict),
    seq=st.none() | counts,
    part_id=printable,
    captured_at=counts,
    published_at=counts,
    reason=st.text(max_size=50),
    score=floats,
    threshold=floats,
    size=sizes,
    image_size=sizes,
    label_map=st.binary(max_size=50),
    regions=st.lists(regions, max_size=3).map(tuple),
    model=st.text(max_size=20),
    engine=st.text(max_size=20),
    precision=st.sampled_from(["", "fp32", "bf16", "int8"]),
    device=st.text(max_size=20),
    worker=st.text(max_size=20),
    timings=st.dictionaries(st.text(max_size=10), st.floats(0, 1e6), max_size=3),
    id=st.just(ENTRY),
)


def on_the_wire(fields: dict[str, str | bytes]) -> list[bytes]:
    return [part.encode() if isinstance(part, str) else part for part in flat_fields(fields)]


def frame_from(*flat: bytes) -> Frame:
    return frame_from_fields(ENTRY, list(flat), LimitSettings(), NOW_NS)


@given(frames())
def test_a_frame_is_read_back_as_it_was_written(frame: Frame) -> None:
    flat = on_the_wire(frame_to_fields(frame))
    assert frame_from_fields(ENTRY, flat, LimitSettings(max_clock_skew_s=0), NOW_NS) == frame
    assert camera_of(flat) == frame.camera
    assert reply_token_of(flat) == frame.reply_to


@given(results)
def test_a_result_is_read_back_as_it_was_written(result: Result) -> None:
    assert result_from_fields(ENTRY, on_the_wire(result_to_fields(result))) == result


def test_a_score_that_is_no_number_survives() -> None:
    result = Result("1-0", "c1", Verdict.INVALID, score=math.nan, threshold=0.01)
    back = result_from_fields(ENTRY, on_the_wire(result_to_fields(result)))
    assert math.isnan(back.score or 0)


def test_camera_and_data_are_enough_and_the_entry_tells_the_time() -> None:
    assert frame_from(*CAMERA, *DATA) == Frame(
        "c1", b"\xff\xd8", id=ENTRY, captured_at=ENTRY_NS, published_at=ENTRY_NS, encoding=Encoding.JPEG
    )


def test_a_plain_xadd_of_any_client_is_a_frame(client: Client, keys: LineKeys) -> None:
    before = int(client.execute_command("TIME")[0])
    entry_id = client.execute_command("XADD", keys.frames, "*", "camera", "c1", "data", b"x").decode()
    ((_, flat),) = client.execute_command("XRANGE", keys.frames, "-", "+")
    frame = frame_from_fields(entry_id, flat, LimitSettings(), time.time_ns() + 10**9)  # their clock may be ahead
    assert frame.captured_at == frame.published_at == entry_time_ns(entry_id)
    assert before <= frame.captured_at / 1e9 < before + 10


@pytest.mark.parametrize(
    ("flat", "reason", "says"),
    [
        ([*DATA], "missing_field", "'camera'"),
        ([*CAMERA], "missing_field", "'data'"),
        ([], "missing_field", "'data'"),
        ([*CAMERA, b"data", b""], "empty", "'data'"),
        ([*CAMERA, *DATA, b"dta", b"x"], "unknown_field", "'dta' is unknown; known are camera, "),
        ([*CAMERA, *DATA, b"Camera", b"x"], "unknown_field", "'Camera'"),
        ([*CAMERA, *DATA, b"\xff\xfe", b"x"], "unknown_field", "is unknown"),
        ([*CAMERA, *DATA, b"x" * 10_000, b"x"], "unknown_field", "is unknown"),
        ([*CAMERA, *DATA, *CAMERA], "bad_field", "'camera' stands twice"),
        ([*CAMERA, *DATA, *DATA], "bad_field", "'data' stands twice"),
        ([b"camera", b"", *DATA], "bad_field", "camera"),
        ([b"camera", b"a b", *DATA], "bad_field", "1 to 64 of A-Z a-z 0-9 _ . - are allowed"),
        ([b"camera", b"a" * 65, *DATA], "bad_field", "camera"),
        ([b"camera", b"c1\n", *DATA], "bad_field", "camera"),
        ([b"camera", b"\xff", *DATA], "bad_field", "camera"),
        ([b"camera", "ç1".encode(), *DATA], "bad_field", "camera"),
        ([*CAMERA, *DATA, b"encoding", b"gif"], "unknown_encoding", "allowed are jpeg, png, webp, bmp"),
        ([*CAMERA, *DATA, b"encoding", b"\xff"], "unknown_encoding", "allowed are"),
        ([*CAMERA, *DATA, b"encoding", b""], "unknown_encoding", "allowed are"),
        ([*CAMERA, *DATA, b"encoding", b"bgr8"], "missing_field", "'width' and 'height'"),
        ([*CAMERA, *DATA, b"encoding", b"mono8", b"width", b"4"], "missing_field", "'height'"),
        ([*CAMERA, *DATA, b"encoding", b"rgb8", b"width", b"0", b"height", b"4"], "missing_field", "above 0"),
        ([*CAMERA, *DATA, b"width", b"-1"], "bad_field", "width"),
        ([*CAMERA, *DATA, b"seq", b""], "bad_field", "seq"),
        ([*CAMERA, *DATA, b"seq", b"1.5"], "bad_field", "seq"),
        ([*CAMERA, *DATA, b"seq", b" 1"], "bad_field", "seq"),
        ([*CAMERA, *DATA, b"seq", b"1\n"], "bad_field", "seq"),
        ([*CAMERA, *DATA, b"seq", "١".encode()], "bad_field", "seq"),
        ([*CAMERA, *DATA, b"seq", str(2**63).encode()], "bad_field", "2^63-1"),
        ([*CAMERA, *DATA, b"seq", b"9" * 100_000], "bad_field", "2^63-1"),
        ([*CAMERA, *DATA, b"captured_at", b"yesterday"], "bad_field", "captured_at"),
        ([*CAMERA, *DATA, b"deadline_ms", b"-5"], "bad_field", "deadline_ms"),
        ([*CAMERA, *DATA, b"part_id", b"\xff"], "bad_field", "UTF-8"),
        ([*CAMERA, *DATA, b"part_id", b"p" * 129], "bad_field", "at most 128"),
        ([*CAMERA, *DATA, b"part_id", b"a\x00b"], "bad_field", "printable"),
        ([*CAMERA, *DATA, b"reply_to", b"a:b"], "bad_field", "reply_to"),
        ([*CAMERA, *DATA, b"reply_to", b"a" * 65], "bad_field", "reply_to"),
        ([*CAMERA, *DATA, b"reply_to", b"a{b}"], "bad_field", "reply_to"),
        ([*CAMERA, *DATA, b"part_id", b"p" * 513], "bad_field", "at most 128"),
        ([*CAMERA, *DATA, b"encoding", b"jpeg" * 500], "unknown_encoding", "allowed are"),
        ([*CAMERA, *DATA, b"seq"], "bad_field", "has no value"),
        ([*CAMERA, *DATA, *[b"x", b"y"] * 9], "too_many_fields", "11 fields; a frame has at most 10"),
    ],
    ids=lambda value: repr(value)[:40] if isinstance(value, list) else None,
)
def test_a_malformed_entry_is_refused_with_its_reason_and_the_field(flat: list[bytes], reason: str, says: str) -> None:
    with pytest.raises(FieldError) as caught:
        frame_from(*flat)
    assert caught.value.reason == reason
    assert says in str(caught.value)
    assert len(str(caught.value)) < 300  # whatever was sent, the message stays a line


@pytest.mark.parametrize("where", ["name", "camera", "encoding", "seq", "part_id", "reply_to", "captured_at"])
def test_a_huge_name_or_value_is_neither_copied_nor_echoed(where: str) -> None:
    huge = b"9" * 10_000_000
    flat = [*DATA, huge, b"x"] if where == "name" else [*DATA, where.encode(), huge, *CAMERA]
    flat = flat[:4] if where == "camera" else flat
    tracemalloc.start()
    with pytest.raises(FieldError) as caught:
        frame_from(*flat)
    camera_of(flat), reply_token_of(flat)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(str(caught.value)) < 300
    assert peak < 2**20


def test_an_entry_of_a_million_fields_is_refused_at_a_glance() -> None:
    with pytest.raises(FieldError, match="1000002 fields"):
        frame_from(*CAMERA, *DATA, *[b"x", b"y"] * 1_000_000)


def test_a_picture_from_the_future_is_refused_with_both_times() -> None:
    def captured(ahead_s: float, limit_s: float) -> int:
        flat = [*CAMERA, *DATA, b"captured_at", str(ENTRY_NS + int(ahead_s * 1e9)).encode()]
        return frame_from_fields(ENTRY, flat, LimitSettings(max_clock_skew_s=limit_s), NOW_NS).captured_at

    assert captured(59, 60) == ENTRY_NS + 59_000_000_000
    assert captured(86_400 * 365, 0) > ENTRY_NS  # the check can be switched off
    with pytest.raises(
        FieldError, match=r"61 s after the entry's time 1700000000123000000.*max_clock_skew_s is 60"
    ) as it:
        captured(61, 60)
    assert it.value.reason == "clock_skew"


def test_a_picture_of_long_ago_is_taken() -> None:
    """Cameras store and forward, and dead letters are replayed."""
    assert frame_from(*CAMERA, *DATA, b"captured_at", b"1").captured_at == 1


@pytest.mark.parametrize("entry_id", ["0-1", "18446744073709551615-18446744073709551615"])
def test_the_time_in_a_foreign_entry_id_does_no_harm(entry_id: str) -> None:
    frame = frame_from_fields(entry_id, [*CAMERA, *DATA, b"deadline_ms", b"50"], LimitSettings(), NOW_NS)
    assert 0 <= frame.captured_at == frame.published_at <= NOW_NS
    # Nor does a picture from the future push its deadline away
    flat = [*CAMERA, *DATA, b"deadline_ms", b"50", b"captured_at", str(2**63 - 1).encode()]
    future = frame_from_fields(entry_id, flat, LimitSettings(max_clock_skew_s=0), NOW_NS)
    assert lateness_ms(future, NOW_NS + 51_000_000) > 0


def test_the_largest_number_is_allowed() -> None:
    assert frame_from(*CAMERA, *DATA, b"seq", str(2**63 - 1).encode()).seq == 2**63 - 1


def test_a_sequence_number_of_zero_is_not_the_same_as_none() -> None:
    assert frame_from(*CAMERA, *DATA, b"seq", b"0").seq == 0
    assert frame_from(*CAMERA, *DATA).seq is None


@given(st.lists(st.tuples(st.sampled_from([*(n.encode() for n in FRAME_FIELDS), b"?"]) | st.binary(), st.binary())))
def test_any_entry_is_a_frame_or_a_field_error(entry: list[tuple[bytes, bytes]]) -> None:
    flat = [part for pair in entry for part in pair]
    try:
        frame = frame_from(*flat)
    except FieldError as error:
        told = error.reason
    else:
        told = "frame" if frame.data else ""
    assert re.fullmatch(r"[a-z_]+", told)
    assert re.fullmatch(r"\?|[A-Za-z0-9_.-]{1,64}", camera_of(flat))
    assert re.fullmatch(r"[A-Za-z0-9_-]{0,64}", reply_token_of(flat))


@pytest.mark.parametrize(
    "flat",
    [
        [],
        [b"verdict", b"MAYBE"],
        [b"verdict", b"OK", b"score", b"high"],
        [b"verdict", b"OK", b"size", b"4"],
        [b"verdict", b"OK", b"regions", b"{"],
        [b"verdict", b"OK", b"regions", b'[{"a": 1}]'],
        [b"verdict", b"OK", b"camera", b"\xff"],
    ],
)
def test_an_entry_that_is_no_result_is_a_stream_error(flat: list[bytes]) -> None:
    with pytest.raises(StreamError, match=f"entry {ENTRY} is not a result"):
        result_from_fields(ENTRY, flat)


def test_the_keys_of_a_line_share_one_hash_tag() -> None:
    keys = LineKeys("demo")
    assert (keys.frames, keys.results, keys.alerts) == ("{demo}:frames", "{demo}:results", "{demo}:alerts")
    assert (keys.dead, keys.ledger) == ("{demo}:frames:dead", "{demo}:ledger")
    every = [value for value in vars(keys).values() if isinstance(value, str) and value.startswith("{")]
    every += [keys.alarm("c1"), keys.reply("t"), keys.publisher("p")]
    assert all(key.startswith("{demo}") for key in every)
