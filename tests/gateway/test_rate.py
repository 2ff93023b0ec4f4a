"""The rate limiter: what it lets through in any window, what it says of waiting, and what it remembers."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.gateway.access.rate import RateLimiter


class Clock:
    """Seconds, as a test sets them; like a machine's that has run for a while."""

    def __init__(self, now: float = 1_234_567.8) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def test_a_burst_passes_at_once_and_then_the_rate_holds() -> None:
    clock = Clock()
    limiter = RateLimiter(2.0, 3, clock)
    assert [limiter.wait_s("a") for _ in range(3)] == [0.0] * 3
    assert limiter.wait_s("a") == pytest.approx(0.5)
    clock.now += 0.25
    assert limiter.wait_s("a") == pytest.approx(0.25)
    clock.now += 0.26
    assert limiter.wait_s("a") == 0.0
    assert limiter.wait_s("a") > 0


def test_each_has_its_own() -> None:
    limiter = RateLimiter(1.0, 1, Clock())
    assert limiter.wait_s("a") == 0.0
    assert limiter.wait_s("b") == 0.0
    assert limiter.wait_s("a") > 0


def test_who_is_refused_is_not_counted() -> None:
    clock = Clock()
    limiter = RateLimiter(1.0, 1, clock)
    limiter.wait_s("a")
    for _ in range(1000):
        assert limiter.wait_s("a") <= 1.001
    clock.now += 1.001
    assert limiter.wait_s("a") == 0.0


def test_no_rate_is_no_limit() -> None:
    limiter = RateLimiter(0.0, 1, Clock())
    assert {limiter.wait_s("a") for _ in range(1000)} == {0.0}
    assert len(limiter) == 0


rates = st.floats(0.001, 1000)
bursts = st.integers(1, 5)
# Who asks how often at once, and how long after those before, as a part of the time in which a bucket fills.
requests = st.lists(
    st.tuples(
        st.sampled_from("abc"), st.integers(1, 6), st.sampled_from([0.0, 0.01, 0.1, 0.3, 0.5, 0.6, 0.99, 1.0, 3.0])
    ),
    min_size=10,
    max_size=40,
)
Requests = list[tuple[str, int, float]]


def one_by_one(clock: Clock, asked: Requests, fills_in_s: float) -> Iterator[str]:
    for who, often, part in asked:
        clock.now += part * fills_in_s
        yield from [who] * often


@settings(max_examples=300)
@given(rates, bursts, requests, st.integers(1, 4))
def test_no_window_holds_more_than_the_burst_and_the_rate(per_s: float, burst: int, asked: Requests, room: int) -> None:
    clock = Clock()
    limiter = RateLimiter(per_s, burst, clock, max_names=room)
    passed: dict[str, list[float]] = {}
    for who in one_by_one(clock, asked, burst / per_s):
        if limiter.wait_s(who) == 0.0:
            passed.setdefault(who, []).append(clock.now)
        assert len(limiter) <= room
    for times in passed.values():
        for first in range(len(times)):
            for last in range(first, len(times)):
                most = burst + per_s * (times[last] - times[first])
                assert last - first + 1 <= most + 1e-6 * per_s + 1e-9


@settings(max_examples=200)
@given(rates, bursts, requests)
def test_who_has_room_gets_all_that_the_rate_allows(per_s: float, burst: int, asked: Requests) -> None:
    """It is never stricter than a bucket of tokens, counted plainly."""
    clock = Clock()
    limiter = RateLimiter(per_s, burst, clock)
    tokens: dict[str, tuple[float, float]] = {}
    for who in one_by_one(clock, asked, burst / per_s):
        level, at = tokens.get(who, (float(burst), clock.now))
        level = min(float(burst), level + (clock.now - at) * per_s)
        if limiter.wait_s(who) == 0.0:
            level -= 1
        else:
            assert level < 1 + 1e-6 * (1 + per_s)
        tokens[who] = (level, clock.now)


@settings(max_examples=500)
@given(rates, bursts, st.one_of(st.floats(0, 1), st.floats(0, 1e9)), st.floats(0, 0.9))
def test_after_the_wait_that_was_told_the_next_is_allowed(per_s: float, burst: int, now: float, part: float) -> None:
    clock = Clock(now)
    limiter = RateLimiter(per_s, burst, clock)
    assert [limiter.wait_s("a") for _ in range(burst)] == [0.0] * burst
    assert limiter.wait_s("a") > 0
    clock.now += part / per_s
    clock.now += limiter.wait_s("a")
    assert limiter.wait_s("a") == 0.0
    assert limiter.wait_s("a") > 0


def test_those_whose_bucket_is_full_are_forgotten() -> None:
    clock = Clock()
    limiter = RateLimiter(10.0, 5, clock)
    for number in range(1000):
        limiter.wait_s(f"host {number}")
    assert len(limiter) == 1000
    for _ in range(2):
        clock.now += 0.5
        limiter.wait_s("another")
    assert len(limiter) == 1


def test_a_hostile_crowd_takes_neither_memory_nor_what_others_have() -> None:
    clock = Clock()
    limiter = RateLimiter(1.0, 10, clock, max_names=100)
    assert limiter.wait_s("a good one") == 0.0
    tracemalloc.start()
    passed = sum(limiter.wait_s(f"one of a crowd, {number}") == 0.0 for number in range(100_000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert passed == 99 + 10  # those that found room, and one bucket for the rest
    assert len(limiter) == 100
    assert peak < 200_000
    assert [limiter.wait_s("a good one") for _ in range(9)] == [0.0] * 9  # its own burst
    assert limiter.wait_s("a good one") > 0
    clock.now += 30
    assert limiter.wait_s("a newcomer") == 0.0


def test_who_leaves_the_crowd_takes_no_second_burst_along() -> None:
    clock = Clock()
    limiter = RateLimiter(1.0, 5, clock, max_names=1)
    limiter.wait_s("first")
    assert [limiter.wait_s("late") for _ in range(6)][:5] == [0.0] * 5
    clock.now += 4.99  # the first is nearly forgotten, and the shared bucket nearly full
    limiter.wait_s("x")
    clock.now += 0.02
    assert sum(limiter.wait_s("late") == 0.0 for _ in range(10)) <= 5
