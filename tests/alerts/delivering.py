"""A delivery that runs beside a test, and events for it."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace

import line
from alert_events import alert
from prometheus_client import CollectorRegistry

from worker.alerts.sinks import Sink
from worker.metrics import AlertMetrics
from worker.runtime.delivery import Delivery
from worker.settings import KeepSettings, OutboxSettings, Settings
from worker.stream.alarm_states import Saved
from worker.stream.alerting import AlertStore
from worker.stream.connection import Client, connect
from worker.stream.outbox import Outbox
from worker.stream.outbox_letters import OutboxLetter, OutboxLetters
from worker.types import Alert


class Calling:
    """A sink that calls a function with each message, and keeps what the function took."""

    def __init__(self, function: Callable[[Sequence[Alert], str], object] | None = None, limited: bool = False) -> None:
        self.limited = limited
        self.is_open = False
        self.got: list[tuple[str, list[str]]] = []
        self.events: list[Alert] = []
        self._function = function

    def open(self) -> None:
        self.is_open = True

    def deliver(self, alerts: Sequence[Alert], key: str) -> None:
        assert self.is_open
        if self._function:
            self._function(alerts, key)
        self.got.append((key, [one.id for one in alerts]))
        self.events += alerts

    def close(self) -> None:
        self.is_open = False

    @property
    def keys(self) -> list[str]:
        return [key for key, _ in self.got]

    def of(self, camera: str) -> list[str]:
        return [one.id for one in self.events if one.camera == camera]


class Delivering:
    """The delivery of one process to the sink `name`, with a connection of its own; a context manager."""

    def __init__(self, sink: Sink, settings: Settings, name: str = "test", **outbox: object) -> None:
        self.stop = threading.Event()
        self.name = name
        self.metrics = AlertMetrics(CollectorRegistry())
        self._client = connect(settings)
        self._delivery = Delivery(
            sink,
            Outbox(self._client, line.KEYS, name, KeepSettings(), uuid.uuid4().hex, settings.redis),
            OutboxSettings.model_validate(outbox),
            self.metrics,
            self.stop,
        )

    def __enter__(self) -> Delivering:
        self._delivery.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self._delivery.join(30)
        assert not self._delivery.is_alive()
        self._client.close()

    def count(self, outcome: str) -> float:
        return self.metrics.deliveries.labels(self.name, outcome)._value.get()


def post(client: Client, *cameras: str, sinks: Sequence[str] = ("test",), most: int = 100_000) -> list[str]:
    """An event of each of these cameras, in this order, on the outboxes; their ids."""
    store = AlertStore(client, line.KEYS, KeepSettings(), sinks, most)
    version = store.load().get("c1", Saved()).version
    events = [replace(alert(number), camera=camera) for number, camera in enumerate(cameras)]
    told = store.commit("c1", Saved(version, "x"), [], events)
    assert told
    return told


def waiting(client: Client, sink: str = "test") -> int:
    return int(client.execute_command("XLEN", line.KEYS.outbox(sink).waiting))


def letters(client: Client, sink: str = "test") -> list[OutboxLetter]:
    return list(OutboxLetters(client, line.KEYS).letters(sink))
