"""Something went away: said once, retried with backoff and jitter, and said again when it is back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import tenacity

from worker.capture.context import Context
from worker.capture.tally import Count

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses between tries: `first_s`, doubled up to `longest_s`, plus up to `first_s` at random.

    The random part keeps many producers from knocking in step after a switch comes back.
    """

    first_s: float = 0.5
    longest_s: float = 30.0


class Outage:
    """Tells of one thing (`what`: "camera", "redis") that it is gone, once an outage, and that it is back."""

    def __init__(self, what: str, counted_as: Count, context: Context) -> None:
        self._what, self._counted_as, self._context = what, counted_as, context
        self._since: float | None = None

    def begin(self, error: object) -> None:
        """It is gone; what comes until `end` belongs to the same outage and is not repeated."""
        if self._since is None:
            self._since = self._context.clock.monotonic()
            self._context.tally.add(self._counted_as)
            self._context.log.warning(f"{self._what} is away, trying until it is back", error=str(error))

    def end(self) -> None:
        """It works; worth a line only after an outage."""
        if self._since is not None:
            away_s = round(self._context.clock.monotonic() - self._since, 1)
            self._since = None
            self._context.log.warning(f"{self._what} is back", away_s=away_s)


def retry(
    work: Callable[[], T], on_error: type[Exception], outage: Outage, backoff: Backoff, stop: threading.Event
) -> T:
    """Call `work` until it succeeds, reporting to `outage`.

    Raises:
        on_error: the last one, once `stop` is set; any other error at once.
    """

    def report(state: tenacity.RetryCallState) -> None:
        assert state.outcome is not None
        outage.begin(state.outcome.exception())

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(on_error),
        wait=tenacity.wait_exponential(multiplier=backoff.first_s, max=backoff.longest_s)
        + tenacity.wait_random(0, backoff.first_s),
        stop=tenacity.stop_when_event_set(stop),
        sleep=tenacity.sleep_using_event(stop),
        before_sleep=report,
        reraise=True,
    )
    result = retrying(work)
    outage.end()
    return result
