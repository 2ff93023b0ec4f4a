"""Time: the clock that tests replace, and the pacer that keeps a frame rate."""

from __future__ import annotations

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """What capture needs of time."""

    def time_ns(self) -> int:
        """Unix nanoseconds."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start, never set back."""
        ...

    def wait(self, seconds: float, stop: threading.Event) -> None:
        """Sleep, but no longer than until `stop` is set."""
        ...


class SystemClock:
    """The machine's own clock."""

    def time_ns(self) -> int:
        """Unix nanoseconds."""
        return time.time_ns()

    def monotonic(self) -> float:
        """Seconds since some start."""
        return time.monotonic()

    def wait(self, seconds: float, stop: threading.Event) -> None:
        """Sleep until `stop` is set, at most `seconds`."""
        stop.wait(seconds)


class Pacer:
    """Lets `fps` pictures a second through; 0 lets all through.

    Turns are counted from the first one, so that the rate does not drift. Who comes more than a turn late
    starts anew instead of catching up: after a stall, a burst would look like a camera running wild.
    """

    def __init__(self, fps: float, clock: Clock) -> None:
        self._interval = 1 / fps if fps else 0.0
        self._clock = clock
        self._due: float | None = None

    def wait(self, stop: threading.Event) -> None:
        """Wait for the next turn, or until `stop` is set."""
        if not self._interval:
            return
        now = self._clock.monotonic()
        if self._due is None or now > self._due + self._interval:
            self._due = now
        elif now < self._due:
            self._clock.wait(self._due - now, stop)
        self._due += self._interval
