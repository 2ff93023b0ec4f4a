"""What the supervisor knows of its workers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

_MODEL_LABELS = ("model", "digest", "engine", "precision")


class WorkersCollector(Collector):
    """What the supervisor knows of its workers.

    `read` gives for each worker: worker, device, up (0 or 1), busy_share (0 to 1), restarts (reason → count),
    resident_bytes, and engine: model, engine, precision and candidates, as `Choice.as_dict` has them, or empty.
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
        memory = GaugeMetricFamily("line_worker_resident_bytes", "Memory that the worker has in use", labels=names)
        models = GaugeMetricFamily(
            "line_model_info", "1: the model in force, and what runs it", labels=[*names, *_MODEL_LABELS]
        )
        engines = EngineFamilies(names)
        for worker in self._read():
            labels = [worker["worker"], worker["device"]]
            up.add_metric(labels, worker["up"])
            busy.add_metric(labels, worker["busy_share"])
            for reason, count in worker["restarts"].items():
                restarts.add_metric([*labels, reason], count)
            memory.add_metric(labels, worker["resident_bytes"])
            if engine := worker["engine"]:
                models.add_metric([*labels, *(engine[name] for name in _MODEL_LABELS)], 1)
                engines.add(labels, engine)
        yield from (up, busy, restarts, memory, models, *engines.families.values())


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
