"""What a `produce` process counts."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter


class ProduceMetrics:
    """What a `produce` process counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.frames = Counter(
            "line_produced_frames", "Frames taken from a source", ["camera", "outcome"], registry=registry
        )
        self.outages = Counter("line_camera_outages", "Times that a camera went away", ["camera"], registry=registry)
