"""Riding out an outage of Redis: growing pauses with jitter, one line of log when it begins and when it ends."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import structlog

from worker.errors import StreamUnavailable

log = structlog.get_logger()

_FIRST_PAUSE_S = 0.05

Answer = TypeVar("Answer")


class Outage:
    """Call `wait` after each failure and `over` after each success."""

    def __init__(self, who: str, longest_pause_s: float = 2.0) -> None:
        self._who = who
        self._longest_pause_s = longest_pause_s
        self._since: float | None = None
        self._failures = 0

    def wait(self, error: StreamUnavailable, stop: threading.Event | None = None) -> None:
        """Pause before the next try; ends early when `stop` is set."""
        if self._since is None:
            self._since = time.monotonic()
            log.warning("Redis is away; trying again", stage=self._who, error=str(error))
        pause = min(self._longest_pause_s, _FIRST_PAUSE_S * 2**self._failures) * random.uniform(0.5, 1.0)
        self._failures = min(self._failures + 1, 16)
        if stop is None:
            time.sleep(pause)
        else:
            stop.wait(pause)

    def over(self) -> None:
        """Note that Redis answers."""
        if self._since is not None:
            away_s = time.monotonic() - self._since
            log.info("Redis is back", stage=self._who, away_s=round(away_s, 2))
            self._since = None
            self._failures = 0


def until_answered(who: str, ask: Callable[[], Answer], stamp: Callable[[], None]) -> Answer:
    """What Redis says, asked as often as it takes; `stamp` is called before each try, so that nobody is taken for
    hung meanwhile."""
    outage = Outage(who)
    while True:
        stamp()
        try:
            answer = ask()
        except StreamUnavailable as error:
            outage.wait(error)
        else:
            outage.over()
            return answer
