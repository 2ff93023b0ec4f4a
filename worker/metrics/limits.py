"""What the settings of `run` want of the line: its numbers are read beside these."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Gauge


def show_limits(registry: CollectorRegistry, *, queue_frames: int, takt_s: float) -> None:
    """Put the limits on the registry; a takt of 0 is none, and then there is no such metric."""
    Gauge("line_queue_limit_frames", "Frames waiting or in work at most", registry=registry).set(queue_frames)
    if takt_s:
        Gauge("line_takt_seconds", "Time from one part to the next", registry=registry).set(takt_s)
