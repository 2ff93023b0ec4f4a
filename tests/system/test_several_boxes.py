"""Several boxes on one Redis: each has its own `line-worker run`, host name and files, as on machines of their own."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from worker.stream.consume import consumer_count
from worker.stream.fields import alert_from_fields
from worker.types import Alert, AlertKind, AlertState

from .running import READY_TIMEOUT_S, RunningLine

BOXES = ("box1", "box2", "box3")
FRAMES_A_CAMERA = 600
FORGET_S = 10


def under_the_host_name(name: str) -> list[str]:
    """What gives a command a host name of its own; the test is skipped where the system does not let us."""
    for options in ([], ["--user", "--map-root-user"]):
        before = ["unshare", "--uts", *options]
        with suppress(FileNotFoundError):
            if subprocess.run([*before, "hostname", name], capture_output=True, check=False).returncode == 0:
                return [*before, "sh", "-c", f'hostname {name} && exec "$@"', "sh"]
    pytest.skip("host names of their own take `unshare --uts`, which is not ours to use here")


def test_a_lost_box_costs_and_doubles_nothing_and_is_not_down_for_ever(
    redis_url: str, small_model: Path, tmp_path: Path
) -> None:
    patience = {"work__claim_idle_ms": 2_000, "work__forget_worker_s": FORGET_S, "alerts__worker_down_s": 4}
    with RunningLine(
        redis_url, tmp_path, model=small_model, engine="paddle", precision="fp32", devices="cpu:0", **patience
    ) as line:
        # Given three boxes in the middle of 1,200 frames
        for box in BOXES:
            files = tmp_path / box
            files.mkdir()
            line.start(box, "run", before=under_the_host_name(box), TMPDIR=files)
        line.start("alerts", "alerts")
        line.wait_until(lambda: consumer_count(line.client, line.keys) == 3, READY_TIMEOUT_S, "three workers are ready")
        sources = [f"{name}=test://?seed={seed}&size=64&count={FRAMES_A_CAMERA}" for seed, name in enumerate("ab")]
        line.start("produce", "produce", *sources)
        line.wait_until(lambda: sum(line.ledger().verdicts.values()) > 100, 60, "the run is well under way")

        # If one is lost while it has frames in hand
        in_hand = line.freeze_in_mid_batch("box1:cpu:0:0", "box1")
        line.lose("box1")

        # I expect that the others finish its frames, and that each has one result
        line.finish("produce")
        line.wait_until(lambda: line.ledger().backlog == 0, 60, "every frame is inspected")
        results, books = line.results(), line.ledger()
        assert len(results) == len({one.frame for one in results}) == 2 * FRAMES_A_CAMERA
        assert {(one.camera, one.seq) for one in results} == {
            (camera, seq) for camera in "ab" for seq in range(FRAMES_A_CAMERA)
        }
        assert {one.worker for one in results if one.frame in in_hand} <= {"box2:cpu:0:0", "box3:cpu:0:0"}
        assert {one.worker for one in results} == {f"{box}:cpu:0:0" for box in BOXES}
        assert (books.difference, books.dead, books.pending, books.dropped) == (0, 0, 0, {})

        # that the lost one is told as down, and forgotten after a while: its name may never come again
        line.wait_until(lambda: states(line) == [AlertState.RAISED, AlertState.CLEARED], 60, "the box is forgotten")
        told = [alert.message for alert in worker_alerts(line)]
        assert told[0].startswith("worker box1:cpu:0:0 has not asked for work")
        assert told[1] == "worker box1:cpu:0:0 has left the group"
        # and that one which is taken away as it should leaves at once
        assert line.stop("box2") == 0
        assert consumer_count(line.client, line.keys) == 1


def worker_alerts(line: RunningLine) -> list[Alert]:
    page = line.client.execute_command("XRANGE", line.keys.alerts, "-", "+")
    alerts = [alert_from_fields(entry_id.decode(), flat) for entry_id, flat in page]
    return [alert for alert in alerts if alert.kind is AlertKind.WORKER_DOWN]


def states(line: RunningLine) -> list[AlertState]:
    return [alert.state for alert in worker_alerts(line)]
