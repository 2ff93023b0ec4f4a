"""What waits for each sink, read from Redis at each scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import structlog
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from worker.errors import LineError
from worker.metrics.prompt import Promptly


class Outbox(Protocol):
    """An outbox at one moment; `lag_s` is the age of the oldest event that waits, 0 where none does."""

    @property
    def sink(self) -> str: ...
    @property
    def waiting(self) -> int: ...
    @property
    def lag_s(self) -> float: ...
    @property
    def dead(self) -> int: ...


class OutboxCollector(Collector):
    """The outboxes of a line's sinks; nothing while Redis is away, never an old number."""

    def __init__(self, line: str, read: Callable[[], Sequence[Outbox]]) -> None:
        self._line = line
        self._read = Promptly(read)

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not wait for Redis."""
        return []

    def collect(self) -> Iterable[Metric]:
        """All of it."""
        try:
            outboxes = self._read()
        except LineError as error:
            structlog.get_logger().warning("outboxes not read for metrics", error=str(error))
            return
        families = {
            "line_outbox_events": "Alert events that wait for a sink",
            "line_outbox_lag_seconds": "Age of the oldest one that waits; 0 where none does",
            "line_outbox_dead_letters": "Alert events that a sink did not get, kept to be looked at and replayed",
        }
        gauges = {name: GaugeMetricFamily(name, text, labels=["line", "sink"]) for name, text in families.items()}
        for outbox in outboxes:
            numbers = {"events": outbox.waiting, "lag_seconds": outbox.lag_s, "dead_letters": outbox.dead}
            for name, number in numbers.items():
                gauges[f"line_outbox_{name}"].add_metric([self._line, outbox.sink], number)
        yield from gauges.values()
