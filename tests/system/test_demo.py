"""`line-worker demo`, as a user runs it: what its report says of a line whose defects are known."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from worker.settings import inherited_environment

from .running import COMMAND

CAMERAS = ("cam1", "cam2")
TIMEOUT_S = 120


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    file = tmp_path_factory.mktemp("demo") / "report.json"
    command = [*COMMAND, "demo", "--seconds", "25", "--report", str(file)]
    with subprocess.Popen(
        command, env=inherited_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as demo:
        try:
            said, _ = demo.communicate(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            demo.terminate()  # not killed: it ends its own processes
            said, _ = demo.communicate()
            said += f"\nnot at its end after {TIMEOUT_S} s"
    assert demo.returncode == 0 and file.exists(), f"the demo failed:\n{said[-3000:]}"  # noqa: PT018
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def test_the_report_has_its_fields(report: dict[str, Any]) -> None:
    wanted = {
        "produced", "verdicts", "dead", "dropped", "backlog", "ledger_difference", "alerts_raised", "fps",
        "latency_ms", "truth",
    }  # fmt: skip
    assert wanted <= report.keys()
    assert report["verdicts"].keys() == {"OK", "NG", "INVALID", "LATE"}
    assert report["latency_ms"].keys() == {"p50", "p99"}
    assert report["truth"].keys() == {"tp", "fp", "fn", "tn"}
    assert isinstance(report["dropped"], dict)


def test_no_frame_is_lost(report: dict[str, Any]) -> None:
    assert report["ledger_difference"] == 0
    assert (report["dead"], report["dropped"], report["backlog"]) == (0, {}, 0)
    assert report["produced"] == sum(report["verdicts"].values()) == sum(report["truth"].values())
    assert report["produced"] >= 100  # of 200 at four a second from each of two cameras: a busy machine may be slower


def test_both_cameras_are_inspected(report: dict[str, Any]) -> None:
    assert tuple(report["cameras"]) == CAMERAS
    assert all(sum(report["cameras"][name]["verdicts"].values()) >= 40 for name in CAMERAS)


def test_the_known_defects_are_found_and_good_parts_pass(report: dict[str, Any]) -> None:
    truth = report["truth"]
    assert truth["tp"] >= 0.95 * (truth["tp"] + truth["fn"]) > 0
    assert truth["fp"] <= 0.05 * (truth["fp"] + truth["tn"])


def test_a_run_of_bad_parts_raises_an_alert(report: dict[str, Any]) -> None:
    assert report["alerts_raised"] >= 1


def test_speed_and_latency_are_those_of_a_line_that_keeps_up(report: dict[str, Any]) -> None:
    assert report["fps"] > 0
    assert 0 < report["latency_ms"]["p50"] <= report["latency_ms"]["p99"]
