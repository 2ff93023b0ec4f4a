"""The soak command runs, sees every process, and its books add up; what a soak of half an hour says is its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = [sys.executable, str(Path(__file__).parents[1] / "benchmarks" / "soak.py")]
PROCESSES = {"redis", "run", "alerts", "cameras", "broken", "worker 0", "worker 1"}


@pytest.mark.long
def test_a_short_soak_reports_every_process(small_model: Path, tmp_path: Path) -> None:
    options = ["--minutes", "0.2", "--warmup-minutes", "0.1", "--every", "1", "--queue-frames", "100"]
    report_file = tmp_path / "soak.json"
    done = subprocess.run(
        [*COMMAND, *options, "--report", str(report_file)], capture_output=True, text=True, check=False
    )
    assert report_file.exists(), done.stderr
    report = json.loads(report_file.read_text())
    assert report["processes"].keys() == PROCESSES
    assert (report["ledger_difference"], report["frames"] > 0, report["dead"] > 0) == (0, True, True)
    assert done.returncode == (1 if report["faults"] else 0)
    assert not [fault for fault in report["faults"] if "died" in fault or "replaced" in fault or "books" in fault]
    assert all(name in done.stdout for name in PROCESSES)
