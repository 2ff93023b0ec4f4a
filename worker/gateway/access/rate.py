"""How often each of many names may do something: a token bucket a name, in bounded memory."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

_MAX_NAMES = 20_000


class RateLimiter:
    """`burst` at once, and `per_s` a second from there on, for each name; in any window of t seconds, so never more
    than burst + per_s·t. For one thread.

    A bucket is kept as the time at which it is full again (the generic cell rate algorithm of ATM, I.371). One that
    is full equals one that was never there, and is forgotten. Of `max_names` names that are not, more share one bucket:
    a hostile crowd then shares the rate of one name with whoever is new, and those who were there feel nothing of it.

    Args:
        per_s: 0: no limit.
        clock: seconds, never going back.
    """

    def __init__(
        self, per_s: float, burst: int, clock: Callable[[], float] = time.monotonic, max_names: int = _MAX_NAMES
    ) -> None:
        # Whole nanoseconds: with floats, the last of a burst would now and then be a rounding too early.
        self._step_ns = math.ceil(1e9 / per_s) if per_s else 0
        self._slack_ns = (burst - 1) * self._step_ns
        self._fills_in_ns = burst * self._step_ns
        self._clock = clock
        self._max_names = max_names
        # Names by when their buckets are full; a generation is as long as a bucket takes to fill, so that all in the
        # earlier one are full when it ends, and no search for full ones is needed.
        self._recent: dict[str, int] = {}
        self._earlier: dict[str, int] = {}
        self._began_ns = self._shared_full_ns = int(clock() * 1e9)

    def __len__(self) -> int:
        """The names that are remembered."""
        return len(self._recent) + len(self._earlier)

    def wait_s(self, who: str) -> float:
        """0.0: allowed, and counted. Else the seconds until the next is allowed, to be asked for anew then."""
        if not self._step_ns:
            return 0.0
        now_s = self._clock()
        now = int(now_s * 1e9)
        self._age(now)
        full_at = self._recent.get(who, self._earlier.get(who, self._shared_full_ns))
        due = full_at - self._slack_ns
        if now < due:
            return (due - now + 1) / 1e9 + 2 * math.ulp(now_s)  # no rounding makes now and this less than due
        self._note(who, max(full_at, now) + self._step_ns)
        return 0.0

    def _age(self, now: int) -> None:
        if now - self._began_ns >= self._fills_in_ns:
            self._earlier, self._recent = self._recent, {}
            self._began_ns = now

    def _note(self, who: str, full_at: int) -> None:
        # A name that finds room later begins with the level of the shared bucket, in which all that it did is counted.
        if who in self._recent or self._earlier.pop(who, None) is not None or len(self) < self._max_names:
            self._recent[who] = full_at
        else:
            self._shared_full_ns = full_at
