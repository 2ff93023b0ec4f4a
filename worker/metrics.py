"""Every metric, declared once, and the endpoint that serves them.

Worker processes write theirs into files of one folder (prometheus_client's multiprocess mode), which their
supervisor merges. A file belongs to a worker's slot, not to a process, so that a restarted worker goes on
counting where the killed one stopped. What the ledger in Redis knows is read from there at each scrape, so
that the numbers are the ledger's own, whoever counted and however often processes were restarted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, values
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import start_http_server
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from worker.errors import LineError, SettingsError

LATENCY_BUCKETS_S = (
    0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075,
    0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0,
)  # fmt: skip

STAGES = ("queue", "decode", "check", "preprocess", "wait", "infer", "postprocess", "commit")

CAMERAS_KEPT = 256
OTHER_CAMERAS = "?"
"""The label of all cameras beyond the first `CAMERAS_KEPT`; no camera can be called so."""


class CameraLabels:
    """A camera's label: whoever publishes makes names up, and each is a set of series that stays for good."""

    def __init__(self, kept: int = CAMERAS_KEPT) -> None:
        self._kept = kept
        self._names: set[str] = set()

    def __call__(self, camera: str) -> str:
        """Its name for the first so many cameras, `?` for later ones; the line as a whole stays empty."""
        if camera and camera not in self._names:
            if len(self._names) >= self._kept:
                return OTHER_CAMERAS
            self._names.add(camera)
        return camera


class WorkerMetrics:
    """What the worker processes measure; one object a process.

    `slot`: the worker's name, which names its file; None: an ordinary registry of this process alone.
    """

    def __init__(self, slot: str | None = None, registry: CollectorRegistry | None = None) -> None:
        if slot is not None:
            values.ValueClass = values.MultiProcessValue(lambda: slot)  # type: ignore[no-untyped-call]
        registry = registry or CollectorRegistry()
        self.camera_label = CameraLabels()
        self.stage_seconds = Histogram(
            "line_stage_seconds",
            f"Time of a frame in each stage: {', '.join(STAGES)}",
            ["stage"],
            buckets=LATENCY_BUCKETS_S,
            registry=registry,
        )
        self.latency_seconds = Histogram(
            "line_latency_seconds",
            "End to end: from a frame's entry into the stream to its committed verdict",
            ["camera"],
            buckets=LATENCY_BUCKETS_S,
            registry=registry,
        )
        self.invalid_frames = Counter(
            "line_invalid_frames",
            "Frames whose picture could not be trusted, by what was wrong with it",
            ["camera", "reason"],
            registry=registry,
        )
        self.batch_size = Histogram(
            "line_batch_size",
            "Frames a device call",
            buckets=(1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256),
            registry=registry,
        )
        self.device_busy_seconds = Counter(
            "line_device_busy_seconds",
            "Time that the device was at work",
            ["worker", "device"],
            registry=registry,
        )
        self.device_failures = Counter(
            "line_device_failures",
            "Device calls that failed; a failed batch is tried again frame by frame",
            ["worker", "device"],
            registry=registry,
        )


class AlertMetrics:
    """What the alert process counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.camera_label = CameraLabels()
        self.events = Counter(
            "line_alerts", "Alert events by kind and state", ["camera", "kind", "state"], registry=registry
        )
        self.deliveries = Counter(
            "line_alert_deliveries", "Alert events handed to a sink", ["sink", "outcome"], registry=registry
        )


class ProduceMetrics:
    """What a `produce` process counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.frames = Counter(
            "line_produced_frames", "Frames taken from a source", ["camera", "outcome"], registry=registry
        )
        self.outages = Counter("line_camera_outages", "Times that a camera went away", ["camera"], registry=registry)


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


class LedgerCollector(Collector):
    """The ledger, backlog and pending frames, read from Redis at each scrape."""

    def __init__(self, line: str, read: Callable[[], Mapping[str, Any]]) -> None:
        self._line = line
        self._read = read

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
        produced.add_metric([self._line], ledger["produced"])
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
                    families[kind].add_metric([self._line, camera, detail], count)
        yield from families.values()


class WorkersCollector(Collector):
    """What the supervisor knows of its workers.

    `read` gives for each worker: worker, device, up (0 or 1), busy_share (0 to 1), restarts (reason → count), and
    engine: engine, precision and candidates, as `Choice.as_dict` has them, or empty.
    """

    def __init__(self, read: Callable[[], Iterable[Mapping[str, Any]]]) -> None:
        self._read = read

    def describe(self) -> Iterable[Metric]:
        """Nothing, as above."""
        return []

    def collect(self) -> Iterable[Metric]:
        """All of it."""
        names = ["worker", "device"]
        up = GaugeMetricFamily("line_worker_up", "1 where the worker is ready and makes progress", labels=names)
        busy = GaugeMetricFamily("line_device_busy_share", "Share of the last seconds at work", labels=names)
        restarts = CounterMetricFamily("line_worker_restarts", "Restarts by reason", labels=[*names, "reason"])
        engines = EngineFamilies(names)
        for worker in self._read():
            labels = [worker["worker"], worker["device"]]
            up.add_metric(labels, worker["up"])
            busy.add_metric(labels, worker["busy_share"])
            for reason, count in worker["restarts"].items():
                restarts.add_metric([*labels, reason], count)
            engines.add(labels, worker["engine"])
        yield from (up, busy, restarts, *engines.families.values())


class EngineFamilies:
    """The engines that a worker looked at: which it took, how fast each is, and how near to paddle's fp32."""

    def __init__(self, names: list[str]) -> None:
        texts = {
            "chosen": "1 for the engine in force, 0 for what passed the gate but is slower, -1 for what was refused",
            "frame_ms": "Milliseconds a frame in full batches, as measured when the engine was chosen",
            "rank_correlation": "Spearman's rank correlation with paddle fp32 over the golden frames",
            "largest_error": "Largest relative error of a golden frame's score against paddle fp32",
            "shift": "Median relative error of the golden frames' scores against paddle fp32",
            "flips": "Share of the golden frames with another verdict than by paddle fp32",
        }
        labels = [*names, "engine", "precision"]
        self.families = {
            name: GaugeMetricFamily(f"line_engine_{name}", text, labels=labels) for name, text in texts.items()
        }

    def add(self, labels: list[str], engine: Mapping[str, Any]) -> None:
        """What one worker looked at."""
        for candidate in engine.get("candidates", ()):
            what = [candidate["engine"], candidate["precision"]]
            taken = what == [engine["engine"], engine["precision"]]
            figures = {**candidate, "chosen": -1 if candidate["refused"] else int(taken)}
            for name, family in self.families.items():
                if name in figures:
                    family.add_metric([*labels, *what], figures[name])


def worker_files(slot: str) -> dict[str, int]:
    """The files into which the worker `slot` writes its metrics, and bytes that hold all of them.

    prometheus_client takes a file's size as it finds it, so that one with room never has to grow.
    """
    return {f"counter_{slot}.db": 2**20, f"histogram_{slot}.db": 3 * 2**20}


def merged_registry(folder: Path) -> CollectorRegistry:
    """A registry that merges what the worker processes wrote into `folder`."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(folder))  # type: ignore[no-untyped-call]
    return registry


def serve(registry: CollectorRegistry, host: str, port: int) -> Callable[[], None]:
    """Serve `/metrics`; returns what stops it. Port 0 serves nothing.

    Raises:
        SettingsError: the address is in use or not ours.
    """
    if port == 0:
        return lambda: None
    try:
        server, thread = start_http_server(port, addr=host, registry=registry)
    except OSError as error:
        raise SettingsError(f"metrics: cannot listen on {host}:{port}: {error.strerror or error}") from error

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop
