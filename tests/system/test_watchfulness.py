"""The running system is told of cameras that go wrong: by INVALID with the reason, and by alerts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from worker.capture.faults import BEGINS
from worker.capture.url import FAULTS
from worker.demo import MODEL
from worker.stream.fields import alert_from_fields
from worker.types import AlertKind, AlertState, Verdict

from .running import RunningLine

GOOD, BAD, FROZEN_AFTER = 4, 12, 5


def test_cameras_that_go_wrong_or_fall_silent_are_told(redis_url: str, tmp_path: Path) -> None:
    settings = {
        "model": MODEL,
        "watch__frozen_after": FROZEN_AFTER,
        "alerts__cameras": "steady,absent",
        "alerts__camera_silent_s": 3,
        "alerts__reorder_ms": 100,
    }
    with RunningLine(redis_url, tmp_path, **settings) as line:
        # Given a camera for each fault, which comes after a few good parts, one that goes on, and one that is not there
        line.start_workers()
        line.start("alerts", "alerts")
        source = f"test://?seed=7&count={GOOD + BAD}"
        sources = [f"{fault}={source}&fault={fault}" for fault in FAULTS]
        line.start("steady", "produce", "steady=test://?seed=8", "--fps", "2")
        line.start("produce", "produce", *sources, "--start-seq", str(BEGINS - GOOD))
        line.finish("produce")

        def told() -> set[tuple[str, AlertKind, AlertState]]:
            page = line.client.execute_command("XRANGE", line.keys.alerts, "-", "+")
            alerts = [alert_from_fields(entry_id.decode(), flat) for entry_id, flat in page]
            return {(alert.camera, alert.kind, alert.state) for alert in alerts}

        # I expect an alert on each, `absent` and those whose parts have come to an end too
        expected = {(fault, AlertKind.INVALID, AlertState.RAISED) for fault in FAULTS}
        expected |= {(name, AlertKind.CAMERA_SILENT, AlertState.RAISED) for name in (*FAULTS, "absent")}
        line.wait_until(lambda: expected <= told(), 60, "each is told")
        line.start("absent", "produce", "absent=test://?seed=9&count=3")
        back = ("absent", AlertKind.CAMERA_SILENT, AlertState.CLEARED)
        line.wait_until(lambda: back in told(), 60, "the one that came is told to be back")

        # And that the good parts had a model's verdict, and the spoilt ones the reason
        assert line.stop("steady") == 0
        line.wait_until(lambda: line.ledger().backlog == 0, 60, "every frame is inspected")
        reasons = Counter(
            (result.camera, result.reason.partition(":")[0])
            for result in line.results()
            if result.verdict is Verdict.INVALID
        )
        spoilt = {fault: BAD - (FROZEN_AFTER - 1) * (fault == "frozen") for fault in FAULTS}
        assert reasons == {(fault, fault): count for fault, count in spoilt.items()}
        assert line.ledger().difference == 0
        assert line.ledger().verdicts["INVALID"] == sum(spoilt.values())
