"""What the HTTP service counts."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from worker.metrics.labels import LATENCY_BUCKETS_S


class GatewayMetrics:
    """What the HTTP service counts. `path` is one of its own, or `?`; what is told of frames is the ledger's."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "line_gateway_requests", "HTTP requests by path and status", ["path", "status"], registry=registry
        )
        self.seconds = Histogram(
            "line_gateway_seconds",
            "From a request for a verdict to its answer, whatever that was",
            buckets=LATENCY_BUCKETS_S,
            registry=registry,
        )
        self.waiting = Gauge(
            "line_gateway_waiting", "Requests that wait for a verdict or are still coming in", registry=registry
        )
