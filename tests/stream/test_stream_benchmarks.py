"""The benchmarks of the stream run, and what they report adds up; how fast it is, no test says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def report(folder: Path, name: str, *options: str) -> dict[str, Any]:
    file = folder / "report.json"
    command = [sys.executable, BENCHMARKS / name, *options, "--seconds", "0.3", "--report", file]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def test_capacity(tmp_path: Path) -> None:
    [row] = report(tmp_path, "stream_capacity.py", "--sizes", "1000", "--rounds", "1", "--profile")["rows"]
    assert row["size"] == 1000
    assert row["own"]["fps"] > 0
    assert row["ratio"] == row["own"]["fps"] / row["bare"]["fps"]
    assert min(row["own"][name] for name in ("publisher_us", "consumer_us", "server_us")) > 0


@pytest.mark.long
def test_scale(tmp_path: Path) -> None:
    rows = report(tmp_path, "stream_scale.py", "--workers", "2", "--cameras", "1", "--size", "1000")["rows"]
    assert [one["what"].partition(":")[0] for one in rows] == ["one Redis", "one shard", "two shards", "two shards"]
    assert len({one["what"] for one in rows[2:]}) == 2
    assert min(one["fps"] for one in rows) > 0


def test_overhead(tmp_path: Path) -> None:
    found = report(tmp_path, "stream_overhead.py", "--side", "64")
    assert found["frames a second"] > 0
    assert found["beside decoding"] > 0
