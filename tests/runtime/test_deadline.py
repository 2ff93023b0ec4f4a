"""Deadlines: what counts as late, also for a camera whose clock is wrong."""

from __future__ import annotations

from worker.runtime.verdict import lateness_ms
from worker.types import Frame

MS = 1_000_000
NOW = 1_700_000_000_000 * MS


def frame(captured_ms_ago: int, published_ms_ago: int, deadline_ms: int) -> Frame:
    captured, published = NOW - captured_ms_ago * MS, NOW - published_ms_ago * MS
    return Frame("c1", b"x", captured_at=captured, published_at=published, deadline_ms=deadline_ms)


def test_lateness_counts_from_the_capture() -> None:
    assert lateness_ms(frame(150, 120, 100), NOW) == 50
    assert lateness_ms(frame(50, 20, 100), NOW) == -50


def test_without_a_deadline_nothing_is_late() -> None:
    assert lateness_ms(frame(10**9, 10, 0), NOW) == 0


def test_a_camera_whose_clock_is_ahead_does_not_switch_its_deadline_off() -> None:
    assert lateness_ms(frame(-3_600_000, 120, 100), NOW) == 20
