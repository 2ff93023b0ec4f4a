"""The producer's counts as metrics."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry

from worker.capture.run import CountHook
from worker.capture.tally import Count
from worker.metrics import ProduceMetrics, serve
from worker.settings import Settings

_OUTCOMES = {"published", "dropped", "skipped", "refused", "unreadable", "unsent"}


@contextmanager
def served_counts(settings: Settings) -> Iterator[CountHook]:
    """What `run_produce` takes as `on_count`; the counts are served on `metrics.produce_port` meanwhile.

    Raises:
        SettingsError: the address is in use or not ours.
    """
    registry = CollectorRegistry()
    metrics = ProduceMetrics(registry)

    def count(camera: str, what: Count, amount: int) -> None:
        if what == "outages":
            metrics.outages.labels(camera).inc(amount)
        elif what in _OUTCOMES:
            metrics.frames.labels(camera, what).inc(amount)

    stop = serve(registry, settings.line, settings.metrics.host, settings.metrics.produce_port)
    try:
        yield count
    finally:
        stop()
