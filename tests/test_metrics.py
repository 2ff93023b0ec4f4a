"""Metrics stay bounded whatever cameras are called."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from prometheus_client import CollectorRegistry

from worker.metrics import CAMERAS_KEPT, OTHER_CAMERAS, AlertMetrics, CameraLabels, WorkerMetrics, worker_files
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


EVERYTHING_THAT_A_WORKER_COUNTS = """
import sys
from worker.metrics import CAMERAS_KEPT, STAGES, WorkerMetrics
metrics = WorkerMetrics(sys.argv[1])
metrics.batch_size.observe(1)
metrics.device_busy_seconds.labels(sys.argv[1], "cpu:0-127").inc()
metrics.device_failures.labels(sys.argv[1], "cpu:0-127").inc()
for stage in STAGES:
    metrics.stage_seconds.labels(stage).observe(1)
for number in range(CAMERAS_KEPT + 1):
    camera = metrics.camera_label(f"{number:_>64}")
    metrics.latency_seconds.labels(camera).observe(1)
    for reason in range(10):
        metrics.invalid_frames.labels(camera, f"{reason:_>24}").inc()
"""


def test_the_files_of_a_worker_need_never_grow(tmp_path: Path) -> None:
    # Given the files with the room that a supervisor gives them
    slot = f"{'h' * 64}:cpu:0-127:0"
    for name, size in worker_files(slot).items():
        (tmp_path / name).write_bytes(bytes(size))
    # When a worker counts as much as it ever may, for cameras with names as long as may be
    command = [sys.executable, "-c", EVERYTHING_THAT_A_WORKER_COUNTS, slot]
    subprocess.run(command, env={"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}, check=True)
    # Then there is no other file, and none has grown
    sizes = {file.name: file.stat().st_size for file in tmp_path.iterdir()}
    assert sizes == worker_files(slot)
    used = [int.from_bytes(file.read_bytes()[:4], "little") for file in tmp_path.iterdir()]
    assert min(used) > 2**18
