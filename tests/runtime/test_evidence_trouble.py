"""Where evidence cannot be kept, inspection goes on, and an alert says so until it can."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ports import free_port
from small_disk import as_seen_by, fill, on_small_disk

from worker.stream.fields import alert_from_fields
from worker.types import Alert, AlertKind, AlertState

from .evidence_folder import KEPT, told, wanted
from .pool import Pool, environment, scrape

ALERTS = [sys.executable, "-m", "worker", "alerts"]


@contextmanager
def alert_process(url: str) -> Iterator[None]:
    process = subprocess.Popen(ALERTS, env=environment(url, metrics__alerts_port=0), stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def alerts_of_evidence(pool: Pool) -> list[Alert]:
    page = pool.client.execute_command("XRANGE", pool.keys.alerts, "-", "+")
    alerts = [alert_from_fields(entry_id.decode(), flat) for entry_id, flat in page]
    return [alert for alert in alerts if alert.kind is AlertKind.EVIDENCE]


@pytest.mark.slow
def test_a_full_disk_stops_evidence_and_not_inspection(redis_url: str, tmp_path: Path, jpegs: list[bytes]) -> None:
    disk, port = tmp_path / "disk", free_port()
    settings = {"evidence__min_free_bytes": 2**20, "threshold": 0, "metrics__port": port}
    small = on_small_disk(disk, "8m")
    with Pool(redis_url, tmp_path, before=small, evidence__folder=disk, **settings) as pool, alert_process(redis_url):
        pool.ready()
        folder = as_seen_by(pool.process.pid, disk)
        (first,) = pool.publish_many(1, jpegs)
        pool.wait_for(lambda: told(folder) == {first: "NG"}, "evidence of the first frame")

        # When the disk is full
        filler = fill(folder)
        frames = pool.publish_many(40, jpegs)
        pool.wait_until_done()
        # Then every frame has its verdict, an alert is raised, and a metric tells of it
        assert set(wanted(pool.results(), KEPT)) == {first, *frames}
        pool.wait_for(lambda: alerts_of_evidence(pool), "the alert")
        (raised,) = alerts_of_evidence(pool)
        assert (raised.state, raised.count) == (AlertState.RAISED, 1)
        assert "min_free_bytes" in raised.message or "No space left" in raised.message
        metrics = scrape(port)
        assert [*metrics["line_evidence_up"].values()] == [0]
        assert sum(metrics["line_evidence_dropped_total"].values()) >= 40
        assert len(pool.said("evidence cannot be written; inspection goes on without")) == 1

        # And with room again evidence is kept again, and the alert is cleared
        filler.unlink()
        pool.wait_for(lambda: len(alerts_of_evidence(pool)) == 2, "the end of the alert")
        assert alerts_of_evidence(pool)[1].state is AlertState.CLEARED
        assert alerts_of_evidence(pool)[1].alert_id == raised.alert_id
        (last,) = pool.publish_many(1, jpegs)
        pool.wait_for(lambda: last in told(folder), "evidence of the last frame")
        assert [*scrape(port)["line_evidence_up"].values()] == [1]
        assert pool.stop() == 0
        assert not pool.said("worker died")


@pytest.mark.slow
def test_a_folder_that_is_away_stops_evidence_and_not_inspection(
    redis_url: str, tmp_path: Path, jpegs: list[bytes]
) -> None:
    # Given a place where no folder can be made
    (tmp_path / "file").write_text("in the way")
    folder = tmp_path / "file" / "evidence"
    with Pool(redis_url, tmp_path, evidence__folder=folder, threshold=0) as pool, alert_process(redis_url):
        frames = pool.publish_many(8, jpegs)
        pool.wait_until_done()
        assert set(wanted(pool.results(), KEPT)) == set(frames)
        pool.wait_for(lambda: alerts_of_evidence(pool), "the alert")
        assert str(folder) in alerts_of_evidence(pool)[0].message
        # When it leaves with its trouble, the alert goes with it
        assert pool.stop() == 0
        pool.wait_for(lambda: len(alerts_of_evidence(pool)) == 2, "the end of the alert")
        assert pool.client.execute_command("EXISTS", pool.keys.evidence) == 0


@pytest.mark.slow
def test_a_disk_that_becomes_read_only_stops_evidence_until_it_is_not(
    redis_url: str, tmp_path: Path, jpegs: list[bytes]
) -> None:
    disk = tmp_path / "disk"
    small = on_small_disk(disk, "8m")
    settings = {"evidence__min_free_bytes": 0, "threshold": 0}
    with Pool(redis_url, tmp_path, before=small, evidence__folder=disk, **settings) as pool, alert_process(redis_url):
        pool.ready()

        def remount(how: str) -> None:
            mount = ["mount", "-o", f"remount,{how}", str(disk)]
            if subprocess.run(["nsenter", f"--mount=/proc/{pool.process.pid}/ns/mnt", *mount], check=False).returncode:
                pytest.skip("a disk cannot be remounted here")

        remount("ro")
        frames = pool.publish_many(8, jpegs)
        pool.wait_until_done()
        assert set(wanted(pool.results(), KEPT)) == set(frames)
        pool.wait_for(lambda: alerts_of_evidence(pool), "the alert")
        assert "Read-only file system" in alerts_of_evidence(pool)[0].message
        remount("rw")
        pool.wait_for(lambda: len(alerts_of_evidence(pool)) == 2, "the end of the alert")
        (last,) = pool.publish_many(1, jpegs)
        pool.wait_for(lambda: last in told(as_seen_by(pool.process.pid, disk)), "evidence of the last frame")
        assert pool.stop() == 0
