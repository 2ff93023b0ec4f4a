"""The label `line` on everything that a process of a line serves."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.registry import Collector


def of_line(registry: CollectorRegistry, line: str) -> CollectorRegistry:
    """A registry that serves what is in this one, and of the process its memory, CPU and start, with the label `line`.

    So one Prometheus tells several lines apart, whatever its targets are called. Done here and not at each metric: a
    process serves one line, and its files need not hold the name once for every series.
    """
    ProcessCollector(registry=registry)
    labelled = CollectorRegistry()
    labelled.register(_OfLine(registry, line))
    return labelled


class _OfLine(Collector):
    def __init__(self, registry: CollectorRegistry, line: str) -> None:
        self._registry = registry
        self._line = line

    def describe(self) -> Iterable[Metric]:
        """Nothing: what there is changes, and registering must not wait for Redis."""
        return []

    def collect(self) -> Iterable[Metric]:
        """All of it, labelled; samples that have the label already keep it."""
        for metric in self._registry.collect():
            labelled = Metric(metric.name, metric.documentation, metric.type, metric.unit)
            labelled.samples = [
                sample._replace(labels={"line": self._line, **sample.labels}) for sample in metric.samples
            ]
            yield labelled
