"""What the alert process counts."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter

from worker.metrics.labels import CameraLabels
from worker.metrics.open_alerts import OpenAlerts


class AlertMetrics:
    """What the alert process counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.camera_label = CameraLabels()
        self.open = OpenAlerts(self.camera_label)
        registry.register(self.open)
        self.events = Counter(
            "line_alerts", "Alert events by kind and state", ["camera", "kind", "state"], registry=registry
        )
        self.deliveries = Counter(
            "line_alert_deliveries", "Alert events handed to a sink", ["sink", "outcome"], registry=registry
        )
