"""Putting one camera's results back in order: several workers finish its frames in any order."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Callable
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from worker.types import Result

MAX_HELD = 1_000
"""Results held a camera at most: a bound on memory, far above what a window of results amounts to."""


def entry_order(entry_id: str) -> tuple[int, int]:
    """A stream entry's id (`1700000000000-0`) as numbers to compare; (0, 0) for text that is no such id."""
    milliseconds, _, counter = entry_id.partition("-")
    try:
        return int(milliseconds), int(counter or 0)
    except ValueError:
        return 0, 0


class Place(BaseModel):
    """Where a camera's count stands: the furthest `seq` released, and the newest frame id with it."""

    model_config = ConfigDict(frozen=True)

    seq: int | None = None
    frame: str = ""


class _Held(NamedTuple):
    result: Result
    arrived: float


class Reorder:
    """Holds one camera's results for a short window and releases them in order; none is lost or repeated.

    The next `seq` goes at once. After a gap a result waits at most the window for the missing ones, then the
    lowest goes first. A `seq` that is not above the last one goes at once: with a newer frame id the camera
    has begun a new count, with an older one it is a straggler. Results without `seq` all wait for the
    window and go in the order of their frame ids, which Redis gave when the frames were published.
    """

    def __init__(self, window_s: float, place: Place | None = None) -> None:
        self.place = place or Place()
        self._window_s = window_s
        self._numbered: list[_Held] = []
        self._unnumbered: list[_Held] = []

    def __len__(self) -> int:
        return len(self._numbered) + len(self._unnumbered)

    def push(self, result: Result, now: float) -> None:
        """Take a result that came in at `now` (seconds of any steady clock)."""
        if result.seq is None:
            insort(self._unnumbered, _Held(result, now), key=_by_frame)
        else:
            insort(self._numbered, _Held(result, now), key=_by_seq)

    def release(self, now: float) -> list[Result]:
        """The results whose turn it is at `now`, in order; they are no longer held."""
        released = self._take(self._unnumbered, self._overdue(self._unnumbered, now))
        while ready := self._in_turn() or self._overdue(self._numbered, now):
            for result in self._take(self._numbered, ready):
                self._advance(result)
                released.append(result)
        return released

    def due(self) -> float | None:
        """When `release` next has something to give unless more comes in; None while nothing is held."""
        arrivals = [held.arrived for held in self._numbered + self._unnumbered]
        return min(arrivals) + self._window_s if arrivals else None

    def _in_turn(self) -> list[_Held]:
        """What need not wait. The frame published first comes first, so that a restart of the count inside
        one read does not mix the two counts."""
        if self.place.seq is None:
            return []
        reached = bisect_right(self._numbered, self.place.seq + 1, key=lambda held: held.result.seq or 0)
        if not reached:
            return []
        first = min(self._numbered[:reached], key=_by_frame)
        if not self._begins_new_count(first.result):
            return [first]
        # What is still held of the old count goes before the new one.
        return [held for held in self._numbered if _by_frame(held) < _by_frame(first)] + [first]

    def _overdue(self, lane: list[_Held], now: float) -> list[_Held]:
        """The head of the lane up to the last result that has waited long enough, or that is one too many."""
        waited = [index for index, held in enumerate(lane) if held.arrived + self._window_s <= now]
        return lane[: max(waited[-1] + 1 if waited else 0, len(lane) - MAX_HELD)]

    def _take(self, lane: list[_Held], chosen: list[_Held]) -> list[Result]:
        leaving = {id(held) for held in chosen}
        lane[:] = [held for held in lane if id(held) not in leaving]
        return [held.result for held in chosen]

    def _begins_new_count(self, result: Result) -> bool:
        assert result.seq is not None
        behind = self.place.seq is not None and result.seq <= self.place.seq
        return behind and entry_order(result.frame) > entry_order(self.place.frame)

    def _advance(self, result: Result) -> None:
        assert result.seq is not None
        if self._begins_new_count(result) or self.place.seq is None or result.seq > self.place.seq:
            newest = max(self.place.frame, result.frame, key=entry_order)
            self.place = Place(seq=result.seq, frame=newest)


_Key = Callable[[_Held], Any]
_by_frame: _Key = lambda held: entry_order(held.result.frame)  # noqa: E731
_by_seq: _Key = lambda held: (held.result.seq, entry_order(held.result.frame))  # noqa: E731
