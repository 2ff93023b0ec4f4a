"""The short chaos run, as a user would start it: every fault about once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SUITE = Path(__file__).parent


def run_chaos(tmp_path: Path, *arguments: str) -> dict[str, Any]:
    report = tmp_path / "report.json"
    command = [sys.executable, str(SUITE), "--calm", "0.2", "0.8", "--report", str(report), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    found: dict[str, Any] = json.loads(report.read_text())
    return found


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_every_fault_on_one_redis_costs_and_doubles_nothing(tmp_path: Path) -> None:
    report = run_chaos(tmp_path, "--frames", "3000", "--faults", "30")
    judgement = report["judgement"]
    assert judgement["passed"]
    assert judgement["published"] >= 3000
    assert sum(row["times"] for row in report["faults"]) >= 30
    assert len(report["faults"]) >= 25, "kinds of faults"
    assert judgement["dead"]["max_attempts"] >= 3, "frames that abort, fail and hang"


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(420)
def test_failovers_under_sentinel_cost_and_double_nothing(tmp_path: Path) -> None:
    kinds = ["primary killed (Sentinel failover)", "planned failover (Sentinel)", "worker killed"]
    only = [part for kind in kinds for part in ("--only", kind)]
    report = run_chaos(tmp_path, "--topology", "sentinel", "--frames", "500", "--faults", "3", *only)
    assert report["judgement"]["passed"]
    assert {row["fault"] for row in report["faults"]} == set(kinds)
