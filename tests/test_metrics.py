"""Metrics stay bounded whatever cameras are called."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from worker.metrics import (
    CAMERAS_KEPT,
    OTHER_CAMERAS,
    AlertMetrics,
    CameraLabels,
    LedgerCollector,
    OutboxCollector,
    WorkerMetrics,
    merged_registry,
    of_line,
    worker_files,
)
from worker.metrics import prompt as module
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


@pytest.mark.parametrize(
    ("score", "threshold", "ratio"),
    [(0.02, 0.01, 2.0), (1e9, 0.01, 100.0), (0.1, 0.0, 100.0), (0.0, 0.0, 0.0)],
)
def test_a_score_is_counted_by_its_threshold_and_the_sum_stays_a_number(
    score: float, threshold: float, ratio: float
) -> None:
    registry = CollectorRegistry()
    WorkerMetrics(registry=registry).of_camera("a").count(0.1, score, threshold)
    assert registry.get_sample_value("line_score_ratio_sum", {"camera": "a"}) == ratio
    assert registry.get_sample_value("line_threshold", {"camera": "a"}) == threshold


@pytest.mark.parametrize(("score", "threshold"), [(None, None), (math.nan, 0.01), (math.inf, 0.01)])
def test_a_result_without_a_score_only_says_that_the_camera_lives(score: float | None, threshold: float | None) -> None:
    registry = CollectorRegistry()
    WorkerMetrics(registry=registry).of_camera("a").count(0.1, score, threshold)
    assert registry.get_sample_value("line_score_ratio_count", {"camera": "a"}) == 0
    assert registry.get_sample_value("line_last_result_timestamp_seconds", {"camera": "a"}) > 1e9


def test_a_score_of_the_threshold_itself_is_none_of_those_above() -> None:
    registry = CollectorRegistry()
    WorkerMetrics(registry=registry).of_camera("a").count(0.1, 0.01, 0.01)
    assert registry.get_sample_value("line_score_ratio_bucket", {"camera": "a", "le": "1.0"}) == 1


def test_every_sample_that_is_served_names_its_line() -> None:
    registry = CollectorRegistry()
    WorkerMetrics(registry=registry).of_camera("a").count(0.1, 0.01, 0.01)
    served = of_line(registry, "line1")
    samples = [sample for family in served.collect() for sample in family.samples]
    assert {sample.labels["line"] for sample in samples} == {"line1"}
    assert served.get_sample_value("line_latency_seconds_count", {"line": "line1", "camera": "a"}) == 1
    assert served.get_sample_value("process_resident_memory_bytes", {"line": "line1"}) > 0


def test_a_silent_redis_holds_up_no_scrape_and_is_read_again_once_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.05)
    answers, reads = threading.Event(), list[str]()

    def read() -> list[object]:
        reads.append("begun")
        answers.wait()
        return []

    registry = CollectorRegistry()
    registry.register(OutboxCollector("line1", read))
    assert [*registry.collect()] == [*registry.collect()] == []
    # The one that is under way is waited for, and no other is begun beside it
    assert reads == ["begun"]
    answers.set()
    monkeypatch.setattr(module, "PATIENCE_S", 60)
    assert {family.name for family in registry.collect()} > {"line_outbox_events"}


def test_a_count_that_lost_its_last_moments_waits_for_them_and_one_that_began_anew_does_not() -> None:
    counts = [0, 100, 97, 99, 101, 160, 0, 2]
    books = iter(counts)

    def read() -> dict[str, object]:
        count = next(books)
        left = dict.fromkeys(("backlog_bytes", "pending", "dead_letters_kept", "memory_bytes", "memory_limit_bytes"), 0)
        cameras = {"a": {"verdict:OK": count}} if count else {}
        return left | {"produced": count, "backlog": 0, "ledger_difference": 0, "cameras": cameras}

    registry = CollectorRegistry()
    registry.register(LedgerCollector("line1", read))
    shown = [{sample.name: sample.value for one in registry.collect() for sample in one.samples} for _ in counts]
    assert [one["line_frames_produced_total"] for one in shown] == [0, 100, 100, 100, 101, 160, 0, 2]
    assert [one.get("line_frames_total", 0) for one in shown] == [0, 100, 100, 100, 101, 160, 0, 2]


def test_of_several_workers_the_latest_result_of_a_camera_is_served(tmp_path: Path) -> None:
    for slot in ("late", "early"):
        command = [sys.executable, "-c", ONE_RESULT, slot, {"late": "2000", "early": "1000"}[slot]]
        subprocess.run(command, env={"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}, check=True)
    latest = merged_registry(tmp_path).get_sample_value("line_last_result_timestamp_seconds", {"camera": "a"})
    assert latest == 2000


ONE_RESULT = """
import sys, time
time.time = lambda: float(sys.argv[2])
from worker.metrics import WorkerMetrics
WorkerMetrics(sys.argv[1]).last_result.labels("a").set(time.time())
"""

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
    metrics.of_camera(f"{number:_>64}").count(1.0, 1.0, 0.5)
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
    assert min(used) > 2**16
