"""Delivering alert events to one sink, in order, until it has taken each."""

from __future__ import annotations

import threading
import time
from contextlib import suppress

import structlog
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_not_exception_type,
    sleep_using_event,
    stop_when_event_set,
    wait_exponential,
    wait_random,
)

from worker.alerts.sinks import Sink
from worker.errors import LineError, RefusedError
from worker.metrics import AlertMetrics
from worker.stream.alerting import AlertFeed
from worker.types import Alert

log = structlog.get_logger()

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
_REDIS_PAUSE_S = 1.0
_LEFT_AFTER_MS = 120_000  # far above one attempt with the pause before it
_TAKE_OVER_EVERY_S = 10.0


class Delivery(threading.Thread):
    """One sink's own thread, so that a slow or dead receiver delays neither decisions nor other sinks."""

    def __init__(self, name: str, sink: Sink, feed: AlertFeed, metrics: AlertMetrics, stop: threading.Event) -> None:
        super().__init__(name=f"sink-{name}", daemon=True)
        self._log = log.bind(sink=name)
        self._sink_name = name
        self._sink = sink
        self._feed = feed
        self._metrics = metrics
        self._stopping = stop
        self._delivered = ""
        self._in_hand: list[Alert] = []
        self._next_take_over = 0.0
        self._try_until_taken = Retrying(
            retry=retry_if_not_exception_type(RefusedError),
            wait=wait_exponential(multiplier=_FIRST_PAUSE_S, max=_LONGEST_PAUSE_S) + wait_random(0, _FIRST_PAUSE_S),
            sleep=sleep_using_event(stop),
            stop=stop_when_event_set(stop),
            before=self._keep_in_hand,
            before_sleep=self._note_failure,
            reraise=True,
        )

    def run(self) -> None:
        """Deliver until told to stop. What is not acknowledged by then is delivered by the next process."""
        while not self._stopping.is_set():
            try:
                self._deliver_all(self._feed.pending())
                while not self._stopping.is_set():
                    self._deliver_all(self._feed.read())
                    self._take_over()
            except Exception as error:  # whatever it is: without this thread the sink gets nothing more
                unforeseen = not isinstance(error, LineError)
                self._log.warning("alerts cannot be read, trying again", error=str(error), exc_info=unforeseen)
                self._stopping.wait(_REDIS_PAUSE_S)

    def _take_over(self) -> None:
        """Deliver what the same sink of a second alert process had in hand when it died."""
        if time.monotonic() >= self._next_take_over:
            self._deliver_all(self._feed.take_over(_LEFT_AFTER_MS))
            self._next_take_over = time.monotonic() + _TAKE_OVER_EVERY_S

    def _keep_in_hand(self, _attempt: RetryCallState) -> None:
        with suppress(LineError):  # at worst someone delivers it too, with the same key
            self._feed.keep(self._in_hand)

    def _deliver_all(self, alerts: list[Alert]) -> None:
        for place, alert in enumerate(alerts):
            self._in_hand = alerts[place:]
            if self._stopping.is_set() or not self._deliver(alert):
                return
            self._feed.acknowledge(alert)

    def _deliver(self, alert: Alert) -> bool:
        if alert.id == self._delivered:  # only its acknowledgement failed
            return True
        try:
            self._try_until_taken(self._sink.deliver, [alert], alert.id)
        except RefusedError as error:
            self._log.error("the receiver refuses an alert", alert_id=alert.alert_id, error=str(error))
            self._count("refused")
        except Exception:  # a sink may raise anything; it comes here only once we are told to stop
            return False
        else:
            self._count("delivered")
        self._delivered = alert.id
        return True

    def _count(self, outcome: str) -> None:
        self._metrics.deliveries.labels(self._sink_name, outcome).inc()

    def _note_failure(self, attempt: RetryCallState) -> None:
        self._count("failed")
        error = attempt.outcome.exception() if attempt.outcome else None
        self._log.warning(
            "alert not delivered, trying again",
            attempt=attempt.attempt_number,
            in_s=round(attempt.upcoming_sleep, 1),
            error=f"{type(error).__name__}: {error}",
        )
