"""What the worker processes measure."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, values

from worker.metrics.labels import LATENCY_BUCKETS_S, CameraLabels

STAGES = ("queue", "decode", "check", "preprocess", "wait", "infer", "postprocess", "commit")


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
