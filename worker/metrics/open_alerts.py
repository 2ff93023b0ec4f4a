"""How many alerts are open now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from worker.metrics.labels import CameraLabels


class OpenAlerts(Collector):
    """What the alert process last saw open, by camera and kind; nothing before it looked."""

    def __init__(self, camera_label: CameraLabels) -> None:
        self._camera_label = camera_label
        self._open: Mapping[tuple[str, str], int] = {}

    def show(self, opened: Iterable[tuple[str, str, bool]]) -> None:
        """Take what is there now: camera, kind and whether an alert is open; what is not among it is no series."""
        counts: dict[tuple[str, str], int] = {}
        for camera, kind, is_open in opened:
            labels = self._camera_label(camera), kind
            counts[labels] = counts.get(labels, 0) + is_open
        self._open = counts  # in one step: a scrape may come at any time

    def describe(self) -> Iterable[Metric]:
        """Nothing: there is none yet."""
        return []

    def collect(self) -> Iterable[Metric]:
        """All of it."""
        family = GaugeMetricFamily("line_alerts_open", "Alerts that are open now", labels=["camera", "kind"])
        for labels, count in self._open.items():
            family.add_metric(labels, count)
        yield family
