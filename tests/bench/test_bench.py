"""`line-worker bench`, as a user runs it, with a small real model: its report, its refusals, and that it tidies up."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from models import bare_export

from worker.bench.picture import draw
from worker.cli import main

from .running import Run

SHAPES = ["128", "model"]
TIMEOUT_S = 150.0
REFERENCE = ("--variants", "paddle:fp32")  # always there, and nothing to choose
STAGES = {"decode", "check", "preprocess", "wait", "infer", "postprocess", "commit"}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    file = tmp_path_factory.mktemp("bench") / "report.json"
    with Run(
        "--model", str(bare_export()), *REFERENCE, "--quick", "--frames", ",".join(SHAPES), "--report", str(file)
    ) as run:
        said = run.finish(TIMEOUT_S)
        assert run.process.returncode == 0, said[-3000:]
        assert "pipeline" in said
        assert run.left() == []
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def test_the_report_has_its_fields(report: dict[str, Any]) -> None:
    assert list(report) == [
        "engine_fps", "limit_fps", "pipeline_fps", "ratio_to_limit", "ratio_to_engine", "paddlex_fps",
        "ratio_to_paddlex", "latency_ms", "stages_ms", "rss_mb", "cpu", "versions", "conditions", "variants", "refused",
    ]  # fmt: skip
    assert report["refused"] == []
    assert report["conditions"]["shapes"] == {"128": "128x128", "model": "64x64"}
    assert {"line-worker", "python", "redis", "opencv", "paddlepaddle"} <= report["versions"].keys()


def test_the_top_is_the_main_variant_with_the_first_shape(report: dict[str, Any]) -> None:
    rows = report["variants"]
    assert [row["frames"] for row in rows] == SHAPES
    assert len({(row["engine"], row["precision"]) for row in rows}) == 1
    assert all(report[name] == rows[0][name] for name in report if name in rows[0])


def test_ratios_are_quotients(report: dict[str, Any]) -> None:
    for row in report["variants"]:
        assert min(row["engine_fps"], row["limit_fps"], row["pipeline_fps"]) > 0
        assert row["ratio_to_limit"] == pytest.approx(row["pipeline_fps"] / row["limit_fps"], abs=1e-4)
        assert row["ratio_to_engine"] == pytest.approx(row["pipeline_fps"] / row["engine_fps"], abs=1e-4)
        assert row["rounds"]["pipeline_fps"] == [row["pipeline_fps"]]  # --quick has one round
        assert row["paddlex_fps"] is None
        assert row["ratio_to_paddlex"] is None


def test_latencies_are_there_for_each_load(report: dict[str, Any]) -> None:
    latency = report["latency_ms"]
    assert latency["engine_single"] > 0
    assert [point["load"] for point in latency["curve"]] == [50, 90]
    for point in latency["curve"]:
        assert 0 < point["p50"] <= point["p99"]
        assert latency[f"load_{point['load']}"] == {"p50": point["p50"], "p99": point["p99"]}
        assert point["fps_wanted"] == pytest.approx(report["pipeline_fps"] * point["load"] / 100, abs=0.01)
        assert point["stages_ms"].keys() == STAGES | {"queue"}
        assert point["frames"] > 0


def test_stages_cpu_memory_and_start_are_told(report: dict[str, Any]) -> None:
    assert report["stages_ms"].keys() == STAGES
    assert min(report["stages_ms"].values()) > 0
    assert report["cpu"]["ms_per_frame"].keys() == {"redis", "camera", "supervisor", "worker"}
    assert report["cpu"]["ms_per_frame"]["worker"] > 0
    assert report["rss_mb"]["worker_peak"] >= report["rss_mb"]["worker"] > report["rss_mb"]["supervisor"] > 10
    start = report["variants"][0]["start_s"]
    assert start["ready"] > 0
    assert start["first_verdict"] > 0


def test_the_picture_is_drawn(report: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="an extra: pip install 'line-worker[report]'")
    with (tmp_path / "bench.png").open("wb") as file:
        draw(report, file)
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")


def test_a_signal_ends_all_that_was_started() -> None:
    with Run("--model", str(bare_export()), *REFERENCE, "--frames", "model") as run:
        assert run.process.stdout is not None
        said = ""
        while "ready after" not in said and (line := run.process.stdout.readline()):
            said += line
        family = run.family()
        assert len(family) >= 5, said  # the engine alone, Redis, the camera, the supervisor, a worker
        run.process.send_signal(signal.SIGTERM)
        said += run.finish(30)
        assert run.process.returncode == 1, said
        assert "Aborted" in said
        assert run.left() == []
        assert not [pid for pid in family if Path(f"/proc/{pid}").exists()]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--frames", "12"], 78, "--frames: '12' is neither model nor a side of 64 to 4096 pixels"),
        (["--frames", "model,model"], 78, "names a shape twice"),
        (["--variants", "fast"], 78, "--variants: 'fast' is none of auto, all and ENGINE:PRECISION"),
        (["--variants", "auto,nothing:fp32"], 78, "engine (from flag)"),
        (["--loads", "50,100"], 78, "--loads: '50,100' must be percents from 1 to 99"),
        (["--model", "/no/such"], 78, "model folder /no/such: there is no such folder"),
        (["--devices", "cpu:4000"], 78, "no core 4000 here"),
        (["--images", "/no/such"], 66, "/no/such: there is no such folder of images"),
        (["--paddlex", "/no/such"], 2, "does not exist"),
        (["--rounds", "0"], 2, "--rounds"),
    ],
)
def test_what_cannot_be_measured_is_told_at_once(arguments: list[str], code: int, says: str) -> None:
    done = CliRunner().invoke(main, ["bench", *arguments])
    assert (done.exit_code, says in done.output) == (code, True), done.output


def test_a_picture_takes_matplotlib(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("worker.bench.picture.find_spec", lambda _: None)
    done = CliRunner().invoke(main, ["bench", "--picture", str(tmp_path / "p.png")])
    assert done.exit_code == 78
    assert "pip install 'line-worker[report]'" in done.output
