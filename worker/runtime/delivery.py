"""Delivering alert events to one sink, each camera's in order, until it has taken each or never will."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import structlog

from worker.alerts.dispatch import Dispatch, Message, Waiting
from worker.alerts.sinks import Sink
from worker.errors import LineError, RefusedError, StreamError, StreamUnavailable, UnreachableError
from worker.metrics import AlertMetrics
from worker.runtime.retry import Outage
from worker.settings import OutboxSettings
from worker.stream.connection import BLOCK_MS
from worker.stream.outbox import RENEW_EVERY_S, LeaseLost, Outbox, OutboxEntry
from worker.types import Alert

log = structlog.get_logger()

_STAND_BY_S = 1.0
_REDIS_PAUSE_S = 1.0
_TALLY_EVERY_S = 10.0

Clock = Callable[[], float]


class Delivery(threading.Thread):
    """One sink's own thread, so that a slow or dead receiver delays neither decisions nor other sinks.

    While another process has the outbox's lease, it stands by.
    """

    def __init__(
        self,
        sink: Sink,
        outbox: Outbox,
        settings: OutboxSettings,
        metrics: AlertMetrics,
        stop: threading.Event,
        clock: Clock = time.monotonic,
    ) -> None:
        super().__init__(name=f"sink-{outbox.sink}", daemon=True)
        self._log = log.bind(sink=outbox.sink)
        self._sink = sink
        self._outbox = outbox
        self._give_up_after_s = settings.give_up_after_s
        self._metrics = metrics
        self._stopping = stop
        self._clock = clock
        self._dispatch = Dispatch(settings, limited=sink.limited, now=clock(), chance=random.Random())
        self._after = "0-0"
        self._unnoted: Message | None = None
        self._next_tally = 0.0

    def run(self) -> None:
        """Deliver until told to stop. What is not delivered by then the next process delivers."""
        outage = Outage(self.name)
        while not self._stopping.is_set():
            try:
                self._serve(outage)
            except LeaseLost as error:
                self._log.info("standing by", reason=str(error))
                self._close()
            except StreamUnavailable as error:
                outage.wait(error, self._stopping)
            except Exception as error:  # whatever it is: without this thread the sink gets nothing more
                unforeseen = not isinstance(error, LineError)
                self._log.warning("alerts cannot be read, trying again", error=str(error), exc_info=unforeseen)
                self._stopping.wait(_REDIS_PAUSE_S)
        self._close()  # before another one may open it
        with suppress(LineError):
            self._outbox.release()

    def _close(self) -> None:
        try:
            self._sink.close()
        except Exception as error:  # a sink may raise anything
            self._log.warning("the sink did not close", error=str(error), exc_info=True)

    def _serve(self, outage: Outage) -> None:
        """Deliver while this process has the lease, which is asked for at each try of a message."""
        if not self._outbox.take():
            outage.over()
            self._stopping.wait(_STAND_BY_S)
            return
        self._sink.open()
        self._note_delivered()
        self._load()
        while not self._stopping.is_set():
            self._step()
            outage.over()

    def _load(self) -> None:
        """Take all that waits anew, and how it was sealed by whoever delivered before."""
        sealed = self._outbox.sealed()
        self._dispatch.clear()
        self._after = "0-0"
        for entry in self._outbox.all():
            self._add(entry, sealed.get(entry.id, ""))
        self._next_tally = self._clock() + _TALLY_EVERY_S

    def _add(self, entry: OutboxEntry, key: str = "") -> None:
        self._dispatch.add(Waiting(*entry), key)
        self._after = entry.id

    def _step(self) -> None:
        wait_ms = int(min(self._dispatch.wait_s(self._clock()) * 1_000 + 1, BLOCK_MS))
        ready = self._dispatch.next(self._clock()) is not None
        for entry in self._outbox.read(self._after, 0 if ready else wait_ms):
            self._add(entry)
        if message := self._dispatch.next(self._clock()):
            self._try(message)
        if self._clock() >= self._next_tally:
            self._tally()

    def _tally(self) -> None:
        """What others took off the outbox is noticed message by message; much of it, or what never was seen, here.

        So is the loss of the lease where nothing is to be delivered.
        """
        if not self._outbox.renew():
            raise LeaseLost(f"the lease of {self._outbox.sink} has run out")
        waiting, known = self._outbox.length(), len(self._dispatch)
        if abs(waiting - known) * 10 > max(waiting, known):
            self._load()
        self._next_tally = self._clock() + _TALLY_EVERY_S

    def _try(self, message: Message) -> None:
        found = self._outbox.seal(message.key, [one.id for one in message.events])
        if gone := {one.id for one, alert in zip(message.events, found, strict=True) if alert is None}:
            self._dispatch.drop(message, gone)
            return
        self._dispatch.begin(message, self._clock())
        message, alerts = self._readable(message, found)
        if not alerts:
            return
        try:
            self._sink.deliver(alerts, message.key)
        except RefusedError as error:
            self._dispatch.answered(self._clock())
            self._refused(message, str(error))
        except Exception as error:  # a sink may raise anything
            self._failed(message, error)
        else:
            self._count("delivered", message)
            self._unnoted = message
            self._dispatch.delivered(message, self._clock())
            self._note_delivered()

    def _readable(self, message: Message, found: list[Alert | StreamError | None]) -> tuple[Message, list[Alert]]:
        """The message without what is no event, which somebody else put there; the events themselves."""
        alerts: list[Alert] = []
        events: list[Waiting] = []
        for one, alert in zip(message.events, found, strict=True):
            if isinstance(alert, Alert):
                alerts.append(alert)
                events.append(one)
            else:
                self._bury(Message(message.key, (one,)), "unreadable", str(alert))
        return Message(message.key, tuple(events)), alerts

    def _note_delivered(self) -> None:
        """Also after an outage, so that what the sink has taken goes to it no second time."""
        if self._unnoted is not None:
            self._outbox.delivered(self._unnoted.key, [one.id for one in self._unnoted.events])
            self._unnoted = None

    def _refused(self, message: Message, error: str) -> None:
        if len(message.events) > 1:
            self._log.warning("a group is refused; its events go one by one", events=len(message.events), error=error)
            self._part(message)
        else:
            self._bury(message, "refused", error)

    def _failed(self, message: Message, error: Exception) -> None:
        said = f"{type(error).__name__}: {error}"
        self._count("failed", message)
        if isinstance(error, UnreachableError):
            self._dispatch.away(message, self._clock())
        else:
            self._dispatch.failed(message, self._clock())
        failing_s = self._outbox.failed(message.key, said)
        self._log.warning("not delivered, trying again", key=message.key, failing_s=round(failing_s, 1), error=said)
        if self._give_up_after_s and failing_s >= self._give_up_after_s:
            self._bury(message, "gave_up", said)
        elif self._dispatch.wants_apart(message):
            self._part(message)

    def _part(self, message: Message) -> None:
        self._outbox.part(message.key, [OutboxEntry(one.id, one.event, one.camera) for one in message.events])
        self._dispatch.part(message)

    def _bury(self, message: Message, reason: str, error: str) -> None:
        self._outbox.bury(message.key, [one.id for one in message.events], reason, error)
        self._dispatch.ended(message)
        self._count(reason, message)
        self._log.error("an alert is a dead letter", reason=reason, events=len(message.events), error=error)

    def _count(self, outcome: str, message: Message) -> None:
        self._metrics.deliveries.labels(self._outbox.sink, outcome).inc(len(message.events))


class LeaseKeeper(threading.Thread):
    """Renews the leases of this process while its sinks are busy; with a connection of its own."""

    def __init__(self, outboxes: Sequence[Outbox], stop: threading.Event) -> None:
        super().__init__(name="leases", daemon=True)
        self._outboxes = outboxes
        self._stopping = stop

    def run(self) -> None:
        """Renew until told to stop. Who lost a lease finds out at the next step that asks for it."""
        while not self._stopping.wait(RENEW_EVERY_S):
            for outbox in self._outboxes:
                with suppress(LineError):
                    outbox.renew()
