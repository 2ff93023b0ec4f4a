"""What the worker processes measure."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, values

from worker.metrics.labels import LATENCY_BUCKETS_S, SCORE_RATIO_BUCKETS, CameraLabels

STAGES = ("queue", "decode", "check", "preprocess", "wait", "infer", "postprocess", "commit")


_LARGEST_RATIO = 100.0  # also where the threshold is 0: the sum stays a number


@dataclass(frozen=True, slots=True)
class CameraSeries:
    """One camera's series, found once: a look-up by label costs as much as the count."""

    latency_seconds: Histogram
    score_ratio: Histogram
    threshold: Gauge
    last_result: Gauge

    def count(self, latency_s: float, score: float | None, threshold: float | None) -> None:
        """Count a result that was just committed; without a score only that it came, and when."""
        self.latency_seconds.observe(latency_s)
        self.last_result.set(time.time())
        if score is not None and threshold is not None and math.isfinite(score):
            self.score_ratio.observe(_ratio(score, threshold))
            self.threshold.set(threshold)


def _ratio(score: float, threshold: float) -> float:
    if not threshold:
        return _LARGEST_RATIO if score else 0.0
    return min(score / threshold, _LARGEST_RATIO)


class WorkerMetrics:
    """What the worker processes measure; one object a process.

    `slot`: the worker's name, which names its file; None: an ordinary registry of this process alone.
    """

    def __init__(self, slot: str | None = None, registry: CollectorRegistry | None = None) -> None:
        if slot is not None:
            values.ValueClass = values.MultiProcessValue(lambda: slot)  # type: ignore[no-untyped-call]
        registry = registry or CollectorRegistry()
        self.camera_label = CameraLabels()
        self._cameras: dict[str, CameraSeries] = {}
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
        self.score_ratio = Histogram(
            "line_score_ratio",
            "Score by threshold of each frame that the model looked at; above 1 it is NG",
            ["camera"],
            buckets=SCORE_RATIO_BUCKETS,
            registry=registry,
        )
        self.threshold = Gauge(
            "line_threshold",
            "Threshold of the camera's latest frame that the model looked at",
            ["camera"],
            multiprocess_mode="mostrecent",
            registry=registry,
        )
        self.last_result = Gauge(
            "line_last_result_timestamp_seconds",
            "Unix time of the camera's latest result",
            ["camera"],
            multiprocess_mode="mostrecent",
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

    def of_camera(self, camera: str) -> CameraSeries:
        """The series of this camera, or those that it shares with all cameras beyond the first so many."""
        label = self.camera_label(camera)
        if label not in self._cameras:
            self._cameras[label] = CameraSeries(
                self.latency_seconds.labels(label),
                self.score_ratio.labels(label),
                self.threshold.labels(label),
                self.last_result.labels(label),
            )
        return self._cameras[label]
