"""The books, read from Redis at each scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from worker.errors import LineError
from worker.metrics.prompt import Promptly


class LedgerCollector(Collector):
    """The ledger, backlog and pending frames, read from Redis at each scrape.

    `read` gives the ledger as `Ledger.as_dict` has it, and of Redis `memory_bytes` and `memory_limit_bytes`.
    """

    def __init__(self, line: str, read: Callable[[], Mapping[str, Any]]) -> None:
        self._line = line
        self._read = Promptly(read)
        self._shown: dict[tuple[str, ...], int] = {}

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not wait for Redis."""
        return []

    def collect(self) -> Iterable[Metric]:
        """All of it; without Redis only that Redis is away, never an old number."""
        up = GaugeMetricFamily("line_redis_up", "1 where the ledger could be read from Redis", labels=["line"])
        try:
            ledger = self._read()
        except LineError as error:
            structlog.get_logger().warning("ledger not read for metrics", error=str(error))
            up.add_metric([self._line], 0)
            yield up
            return
        up.add_metric([self._line], 1)
        yield up
        yield from self._totals(ledger)
        yield from self._by_camera(ledger["cameras"])

    def _totals(self, ledger: Mapping[str, Any]) -> Iterable[Metric]:
        produced = CounterMetricFamily("line_frames_produced", "Frames that entered the stream", labels=["line"])
        produced.add_metric([self._line], self._going_up(ledger["produced"], "produced"))
        yield produced
        for name, key, text in (
            ("line_backlog_frames", "backlog", "Frames waiting or in work"),
            ("line_backlog_bytes", "backlog_bytes", "Image bytes waiting or in work"),
            ("line_pending_frames", "pending", "Frames in work"),
            (
                "line_ledger_difference",
                "ledger_difference",
                "Frames that came in and are nowhere; 0 or a fault",
            ),
            ("line_dead_letters_kept", "dead_letters_kept", "Dead letters that can still be looked at"),
            ("line_redis_memory_bytes", "memory_bytes", "Memory that Redis uses, for all that is in it"),
            ("line_redis_memory_limit_bytes", "memory_limit_bytes", "Redis' maxmemory; 0: none"),
        ):
            gauge = GaugeMetricFamily(name, text, labels=["line"])
            gauge.add_metric([self._line], ledger[key])
            yield gauge

    def _by_camera(self, cameras: Mapping[str, Mapping[str, int]]) -> Iterable[Metric]:
        families = {
            "verdict": CounterMetricFamily("line_frames", "Verdicts", labels=["line", "camera", "verdict"]),
            "dropped": CounterMetricFamily("line_frames_dropped", "Drops", labels=["line", "camera", "reason"]),
            "dead": CounterMetricFamily("line_dead_letters", "Dead letters", labels=["line", "camera", "reason"]),
        }
        for camera, counts in cameras.items():
            for what, count in counts.items():
                kind, _, detail = what.partition(":")
                if kind in families:
                    families[kind].add_metric([self._line, camera, detail], self._going_up(count, camera, what))
        yield from families.values()

    def _going_up(self, count: int, *name: str) -> int:
        """The count; where it fell a little, what it was, until it is there again.

        A Redis that crashed or failed over goes on without the last moments of its books. To Prometheus whatever falls
        began anew at nothing, so that all that was ever counted would be the increase of one minute. What fell to less
        than half of it did begin anew.
        """
        shown = self._shown.get(name, 0)
        self._shown[name] = shown if shown / 2 < count < shown else count
        return self._shown[name]
