"""Dynamic batching, on a clock that the test owns."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from worker.batching import collect

IDLE_S = 0.5


@dataclass
class Arrivals:
    """Items that come at given times; waiting moves the clock and takes no time of ours."""

    times: list[float]
    now: float = 0.0
    taken: int = 0
    waits: list[float] = field(default_factory=list)
    on_their_way: bool = True

    def get(self, timeout_s: float) -> int | None:
        self.waits.append(timeout_s)
        if self.taken < len(self.times) and self.times[self.taken] <= self.now + timeout_s:
            self.now = max(self.now, self.times[self.taken])
            self.taken += 1
            return self.taken - 1
        self.now += timeout_s
        return None

    def collect(self, max_batch: int, max_wait_s: float) -> list[int]:
        return collect(self.get, lambda: self.on_their_way, max_batch, max_wait_s, IDLE_S, lambda: self.now)


def test_a_full_batch_closes_at_once() -> None:
    line = Arrivals([0.0, 0.0, 0.0, 0.0])
    assert line.collect(max_batch=3, max_wait_s=10) == [0, 1, 2]
    assert line.now == 0


def test_a_partial_batch_closes_at_the_deadline_of_its_first_item() -> None:
    # Given items at 0.3, 0.35 and 0.39 and a limit of 0.05 s
    line = Arrivals([0.3, 0.35, 0.39])
    # I expect the clock to start with the first item, not with the call and not with the second item
    assert line.collect(max_batch=8, max_wait_s=0.05) == [0, 1]
    assert 0.35 <= line.now < 0.36


def test_nothing_comes_and_the_caller_gets_its_turn_back() -> None:
    line = Arrivals([9.0])
    assert line.collect(max_batch=8, max_wait_s=0.05) == []
    assert line.now == IDLE_S


def test_no_waiting_takes_what_is_there_and_no_more() -> None:
    line = Arrivals([0.0, 0.0, 0.001])
    assert line.collect(max_batch=8, max_wait_s=0) == [0, 1]
    assert line.now == 0


def test_a_batch_of_one_does_not_wait_for_a_second() -> None:
    line = Arrivals([0.2])
    assert line.collect(max_batch=1, max_wait_s=10) == [0]
    assert line.now == 0.2


@given(
    gaps=st.lists(st.floats(0, 0.3), max_size=40),
    max_batch=st.integers(1, 9),
    max_wait_s=st.floats(0, 0.5),
)
def test_order_is_kept_nothing_is_lost_and_no_first_item_waits_too_long(
    gaps: list[float], max_batch: int, max_wait_s: float
) -> None:
    times = [sum(gaps[: index + 1]) for index in range(len(gaps))]
    line, seen = Arrivals(times), []
    while line.taken < len(times):
        before = line.now
        batch = line.collect(max_batch, max_wait_s)
        if not batch:
            assert line.now == before + IDLE_S
            continue
        first_had = max(before, times[batch[0]])
        assert len(batch) <= max_batch
        assert line.now <= first_had + max_wait_s + 1e-9
        if len(batch) < max_batch:  # it closed by time: what could still have come in time is in it
            assert all(at > first_had + max_wait_s - 1e-9 for at in times[batch[-1] + 1 :])
        seen += batch
    assert seen == list(range(len(times)))
    assert all(wait >= 0 for wait in line.waits)


def test_nobody_waits_for_what_is_not_on_its_way() -> None:
    line = Arrivals([0.0, 0.0, 0.01], on_their_way=False)
    assert line.collect(max_batch=8, max_wait_s=1) == [0, 1]
    assert line.now == 0


def test_the_wait_ends_once_the_last_one_is_ready() -> None:
    line = Arrivals([0.0, 0.01, 5.0])

    def on_their_way() -> bool:
        return line.taken < 2

    assert collect(line.get, on_their_way, 8, 1, IDLE_S, lambda: line.now) == [0, 1]
    assert line.now < 0.02
