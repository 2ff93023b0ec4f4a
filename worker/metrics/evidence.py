"""What is counted of evidence: by each worker of what it writes, by the supervisor of what is there."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from worker.types import Verdict

DROPS = ("queue_full", "unwritable", "failed", "unclear", "stopped")


class EvidenceMetrics:
    """What a worker counts; made after its `WorkerMetrics`, with which it shares the files."""

    def __init__(self, worker: str, registry: CollectorRegistry | None = None) -> None:
        registry = registry or CollectorRegistry()
        written = Counter(
            "line_evidence_written", "Frames of which evidence was kept", ["worker", "verdict"], registry=registry
        )
        dropped = Counter(
            "line_evidence_dropped",
            "Frames of which evidence should have been kept and was not",
            ["worker", "reason"],
            registry=registry,
        )
        up = Gauge(
            "line_evidence_up",
            "1 where evidence can be written",
            ["worker"],
            multiprocess_mode="mostrecent",
            registry=registry,
        )
        # There from the start, so that a rate sees the first one.
        self._written = {verdict: written.labels(worker, verdict.value) for verdict in Verdict}
        self._dropped = {reason: dropped.labels(worker, reason) for reason in DROPS}
        self._up = up.labels(worker)

    def count_written(self, verdict: Verdict) -> None:
        """A frame's evidence is there."""
        self._written[verdict].inc()

    def count_dropped(self, reason: str) -> None:
        """A frame's evidence is not kept; `reason` is one of `DROPS`."""
        self._dropped[reason].inc()

    def show_up(self, up: bool) -> None:
        """Whether evidence can be written now."""
        self._up.set(float(up))


class EvidenceCollector(Collector):
    """Bytes in the folder, as of the last look at it; nothing before there was one."""

    def __init__(self, read: Callable[[], int | None]) -> None:
        self._read = read

    def describe(self) -> Iterable[Metric]:
        """Nothing, as elsewhere."""
        return []

    def collect(self) -> Iterable[Metric]:
        """The bytes."""
        if (size := self._read()) is not None:
            yield GaugeMetricFamily("line_evidence_bytes", "Disk that the line's evidence takes", value=size)
