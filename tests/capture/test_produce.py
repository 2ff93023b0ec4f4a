"""The producer's loop, with a publisher that records."""

from __future__ import annotations

from itertools import pairwise

import pytest

from worker.capture.context import Context
from worker.capture.encode import EncodeOptions, Size
from worker.capture.generated import GeneratedLine
from worker.capture.open import SourceOptions, open_source
from worker.capture.outage import Backoff
from worker.capture.produce import ProduceOptions, produce
from worker.capture.source import Source
from worker.capture.tally import Tally
from worker.errors import FrameError, SourceError
from worker.types import Encoding

from .conftest import Answer, Log, Recorder, away

FAST = Backoff(0.001, 0.002)


def parts(context: Context, count: int = 3, start: int = 0) -> Source:
    return open_source(f"test://?size=64&seed=5&count={count}", SourceOptions(start=start), context)


def test_generated_parts_are_the_line_s_own_and_named_by_number(context: Context, recorder: Recorder) -> None:
    options = ProduceOptions("c1", start_seq=7, deadline_ms=250, encode=EncodeOptions(Encoding.RGB8))
    produce(parts(context, start=7), recorder, options, context)
    line = GeneratedLine(seed=5, size=64)
    assert [frame.data for frame in recorder.frames] == [line.part(n).image.tobytes() for n in (7, 8, 9)]
    assert [frame.part_id for frame in recorder.frames] == ["part-000007", "part-000008", "part-000009"]
    assert [frame.seq for frame in recorder.frames] == [7, 8, 9]
    assert {(frame.camera, frame.deadline_ms, frame.width) for frame in recorder.frames} == {("c1", 250, 64)}


def test_frames_come_at_the_wanted_rate(context: Context, recorder: Recorder) -> None:
    produce(parts(context, count=4), recorder, ProduceOptions("c1", fps=4), context)
    times = [frame.captured_at / 1e9 for frame in recorder.frames]
    assert [b - a for a, b in pairwise(times)] == pytest.approx([0.25] * 3)


def test_count_ends_it(context: Context, recorder: Recorder) -> None:
    tally = produce(parts(context, count=100), recorder, ProduceOptions("c1", count=5), context)
    assert tally["published"] == len(recorder.frames) == 5
    assert tally["bytes"] == sum(len(frame.data) for frame in recorder.frames)


def test_a_redis_that_is_away_costs_no_frame_and_is_told_once(context: Context, recorder: Recorder, log: Log) -> None:
    recorder.failures = [away(), away(), away()]
    tally = produce(parts(context), recorder, ProduceOptions("c1", backoff=FAST), context)
    assert [frame.seq for frame in recorder.frames] == [0, 1, 2]
    assert all(call is recorder.frames[0] for call in recorder.calls[:4])  # the publisher knows a retry by it
    assert tally["stream_outages"] == 1
    assert log.events() == ["redis is away, trying until it is back", "redis is back"]


def test_a_redis_that_was_away_for_long_is_met_within_moments_of_its_return(
    context: Context, recorder: Recorder
) -> None:
    pauses: list[float] = []
    stop = context.stop
    stop.wait = lambda timeout=None: pauses.append(timeout) or False  # type: ignore[method-assign]
    recorder.failures = [away() for _ in range(100)]
    produce(parts(context), recorder, ProduceOptions("c1"), context)
    assert len(recorder.frames) == 3
    assert len(pauses) == 100
    assert 1 < max(pauses) < 2.5


def test_stopped_while_redis_is_away_the_frame_in_hand_is_counted(
    context: Context, recorder: Recorder, log: Log
) -> None:
    def publish(frame: object, stop: object) -> Answer:
        context.stop.set()
        raise away()

    tally = produce(parts(context), publish, ProduceOptions("c1"), context)
    assert (tally["unsent"], tally["published"]) == (1, 0)
    assert log.events() == ["frame given up: stopped while redis was away"]


def test_drops_and_evictions_are_counted(context: Context, recorder: Recorder) -> None:
    recorder.answer = Answer("dropped")
    assert produce(parts(context), recorder, ProduceOptions("c1"), context)["dropped"] == 3
    recorder.answer = Answer("accepted", evicted=2)
    assert produce(parts(context), recorder, ProduceOptions("c1"), context)["evicted"] == 6


def test_a_frame_too_large_harms_only_itself(context: Context, recorder: Recorder, log: Log) -> None:
    recorder.failures = [FrameError("too_large", "a frame of 9 bytes exceeds queue.max_bytes")]
    tally = produce(parts(context), recorder, ProduceOptions("c1"), context)
    assert (tally["refused"], tally["published"]) == (1, 2)
    assert log.events() == ["frame refused"]


def test_a_source_is_closed_whatever_happens(context: Context, recorder: Recorder) -> None:
    class Watched:
        closed = False

        def __iter__(self):
            raise SourceError("gone")
            yield

        def close(self) -> None:
            self.closed = True

    source = Watched()
    with pytest.raises(SourceError):
        produce(source, recorder, ProduceOptions("c1"), context)
    assert source.closed


def test_each_count_reaches_the_hook(log: Log, recorder: Recorder) -> None:
    seen: list[tuple[str, int]] = []
    context = Context(tally=Tally(lambda what, amount: seen.append((what, amount))), log=log)
    produce(parts(context, count=1), recorder, ProduceOptions("c1"), context)
    assert seen == [("published", 1), ("bytes", len(recorder.frames[0].data))]


def test_a_loop_over_generated_parts_repeats_them(context: Context, recorder: Recorder) -> None:
    source = open_source("test://?size=64&count=2", SourceOptions(loop=True), context)
    produce(source, recorder, ProduceOptions("c1", count=4, encode=EncodeOptions(resize=Size(32, 32))), context)
    first, second, third, fourth = (frame.data for frame in recorder.frames)
    assert (first, second) == (third, fourth)
    assert first != second


@pytest.mark.parametrize("options", [{"fps": -1}, {"fps": 1e6}, {"count": -1}, {"start_seq": -1}])
def test_options_have_bounds(options: dict[str, int]) -> None:
    with pytest.raises(SourceError, match="must"):
        ProduceOptions("c1", **options)


@pytest.mark.parametrize("text", ["test://", "rtsp://cam/x", "0"])
def test_what_has_no_end_cannot_loop(text: str) -> None:
    with pytest.raises(SourceError, match="has no end to loop at"):
        open_source(text, SourceOptions(loop=True))
