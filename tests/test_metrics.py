"""Metrics stay bounded whatever cameras are called."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from worker.metrics import CAMERAS_KEPT, OTHER_CAMERAS, AlertMetrics, CameraLabels, WorkerMetrics
from worker.stream.fields import CAMERA


def test_the_first_cameras_keep_their_names_and_later_ones_share_one() -> None:
    label = CameraLabels(kept=2)
    assert [label(camera) for camera in ("a", "b", "a", "c", "d", "b")] == ["a", "b", "a", "?", "?", "b"]


def test_the_line_as_a_whole_is_no_camera() -> None:
    label = CameraLabels(kept=1)
    assert [label(camera) for camera in ("", "a", "", "b")] == ["", "a", "", "?"]


def test_no_camera_is_called_like_all_others() -> None:
    assert not CAMERA.fullmatch(OTHER_CAMERAS)


def test_names_without_end_make_no_series_without_end() -> None:
    registry = CollectorRegistry()
    worker, alerts = WorkerMetrics(registry=registry), AlertMetrics(registry)
    for number in range(10 * CAMERAS_KEPT):
        worker.latency_seconds.labels(worker.camera_label(f"c{number}")).observe(0.1)
        alerts.events.labels(alerts.camera_label(f"c{number}"), "anomaly", "raised").inc()
    for family in registry.collect():
        cameras = {sample.labels["camera"] for sample in family.samples if "camera" in sample.labels}
        assert len(cameras) in (0, CAMERAS_KEPT + 1)
    assert registry.get_sample_value("line_latency_seconds_count", {"camera": "?"}) == 9 * CAMERAS_KEPT
