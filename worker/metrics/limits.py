"""What the settings of `run` say of the line: its numbers are read beside this."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Gauge


def show_limits(
    registry: CollectorRegistry, *, queue_frames: int, takt_s: float, cameras_on_demand: Iterable[str]
) -> None:
    """Put it on the registry; a takt of 0 is none, and then there is no such metric."""
    Gauge("line_queue_limit_frames", "Frames waiting or in work at most", registry=registry).set(queue_frames)
    if takt_s:
        Gauge("line_takt_seconds", "Time from one part to the next", registry=registry).set(takt_s)
    on_demand = Gauge(
        "line_camera_on_demand", "1: the camera comes when asked and may be silent", ["camera"], registry=registry
    )
    for camera in cameras_on_demand:
        on_demand.labels(camera).set(1)
