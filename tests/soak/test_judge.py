"""What counts as growth, and what is noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from .judge import MEBI, judge
from .watch import Sample, Usage

Change = Callable[[float, Usage], Usage]


def samples(
    change: Change = lambda _, usage: usage, redis: Callable[[float], int] = lambda _: MEBI
) -> Sequence[Sample]:
    """Ten minutes of looks, five seconds apart, at one worker that `change` may change."""
    return [
        Sample(
            at,
            {"worker": change(at, Usage(1, 100 * MEBI, 90 * MEBI, 10, 5))},
            {"used_memory": redis(at), "aof_size": int(at) * MEBI},
            frames=int(at * 10),
            latencies_ms=[100.0 + at],
            work_ms=[50.0],
        )
        for at in map(float, range(0, 600, 5))
    ]


def test_what_stays_as_it_is_has_no_fault_and_speed_is_told() -> None:
    report = judge(samples(), warmup_s=60)
    assert report["faults"] == []
    assert report["fps"] == {"first": 10.0, "last": 10.0, "all": 10.0}
    assert report["work_ms"]["p99"] == {"first": 50.0, "last": 50.0}
    assert report["latency_ms"]["p99"]["last"] > report["latency_ms"]["p99"]["first"]


@pytest.mark.parametrize(
    ("per_minute", "faults"),
    [(0.002, 0), (0.003, 1)],  # over eight minutes between the middles of the windows
)
def test_two_per_cent_more_is_growth(per_minute: float, faults: int) -> None:
    def grow(at: float, usage: Usage) -> Usage:
        return Usage(1, int(usage.rss * (1 + per_minute * at / 60)), usage.anonymous, 10, 5)

    assert len(judge(samples(grow), warmup_s=60)["faults"]) == faults


def test_what_grows_in_the_warm_up_only_has_no_fault() -> None:
    report = judge(samples(lambda at, usage: Usage(1, int(usage.rss * min(at, 60)), 1, 10, 5)), warmup_s=60)
    assert report["faults"] == []


def test_a_single_high_look_is_no_growth() -> None:
    report = judge(samples(redis=lambda at: MEBI * (3 if at == 595 else 1)), warmup_s=60)
    assert report["faults"] == []


def test_redis_that_grows_has_a_fault() -> None:
    report = judge(samples(redis=lambda at: int(MEBI * (1 + at / 6_000))), warmup_s=60)
    assert [fault.split(":")[0] for fault in report["faults"]] == ["redis used_memory"]


def test_files_that_come_and_go_are_no_leak() -> None:
    def rewrites(at: float, usage: Usage) -> Usage:
        return Usage(1, usage.rss, usage.anonymous, usage.fds + 2 * (at > 300 and at % 60 < 15), usage.threads)

    assert judge(samples(rewrites), warmup_s=60)["faults"] == []


@pytest.mark.parametrize("figure", ["fds", "threads"])
def test_one_more_file_or_thread_at_the_end_has_a_fault(figure: str) -> None:
    def leak(at: float, usage: Usage) -> Usage:
        more = 1 if at > 500 else 0
        return Usage(1, usage.rss, usage.anonymous, 10 + (more * (figure == "fds")), 5 + (more * (figure == "threads")))

    assert [figure in fault for fault in judge(samples(leak), warmup_s=60)["faults"]] == [True]


def test_a_process_that_was_replaced_has_a_fault() -> None:
    report = judge(samples(lambda at, usage: Usage(1 + (at > 300), usage.rss, 1, 10, 5)), warmup_s=60)
    assert report["faults"] == ["worker: it was replaced 1 times"]


def test_a_soak_shorter_than_its_warm_up_says_nothing() -> None:
    with pytest.raises(ValueError, match="too short"):
        judge(samples(), warmup_s=590)
