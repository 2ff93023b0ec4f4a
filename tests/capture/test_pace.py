"""The frame rate."""

from __future__ import annotations

import threading
import time

import pytest

from worker.capture.pace import Pacer, SystemClock

from .conftest import FakeClock

STOP = threading.Event()


@pytest.mark.parametrize("fps", [0.5, 10, 25])
def test_turns_are_evenly_spaced_from_the_first(fps: float) -> None:
    clock = FakeClock()
    pacer = Pacer(fps, clock)
    turns = []
    for _ in range(5):
        pacer.wait(STOP)
        turns.append(clock.now)
        clock.now += 0.3 / fps  # the work between turns takes its part of the interval
    assert turns == pytest.approx([1000 + n / fps for n in range(5)])


def test_after_a_stall_there_is_no_burst() -> None:
    clock = FakeClock()
    pacer = Pacer(10, clock)
    pacer.wait(STOP)
    clock.now += 60
    turns = []
    for _ in range(3):
        pacer.wait(STOP)
        turns.append(clock.now)
    assert turns == pytest.approx([1060, 1060.1, 1060.2])


def test_no_rate_is_no_wait() -> None:
    clock = FakeClock()
    pacer = Pacer(0, clock)
    for _ in range(100):
        pacer.wait(STOP)
    assert clock.now == 1000


def test_stop_cuts_a_wait_short() -> None:
    stop = threading.Event()
    stop.set()
    since = time.monotonic()
    SystemClock().wait(60, stop)
    assert time.monotonic() - since < 30
