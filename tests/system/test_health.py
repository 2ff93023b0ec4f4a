"""`line-worker health`, asked about real processes; and the model that `run` names when it is the demo's."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

from cores import two_devices
from ports import free_port

from worker.demo import MODEL, is_demo_model, model_folder
from worker.settings import inherited_environment

from .running import COMMAND, READY_TIMEOUT_S, RunningLine


def ask(ports: dict[str, int], *processes: str) -> tuple[int, str]:
    environment = inherited_environment() | {f"LINE_{name}": str(port) for name, port in ports.items()}
    asked = subprocess.run(
        [*COMMAND, "health", *processes], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert "Traceback" not in asked.stderr
    return asked.returncode, asked.stdout.strip()


def free_ports() -> dict[str, int]:
    names = ("METRICS__PORT", "METRICS__ALERTS_PORT", "METRICS__PRODUCE_PORT", "GATEWAY__PORT")
    return {name: free_port() for name in names}


def test_a_process_is_well_when_it_answers_and_run_when_its_workers_are_ready(redis_url: str, tmp_path: Path) -> None:
    ports = free_ports()
    assert ask(ports) == (1, "no process of line-worker answers here")
    assert ask(ports, "run", "serve") == (1, "run: does not answer\nserve: does not answer")
    settings: dict[str, Any] = {name.lower(): port for name, port in ports.items()}
    with RunningLine(redis_url, tmp_path, **settings) as line:
        line.start("alerts", "alerts")
        line.start("serve", "serve")
        line.start("produce", "produce", "test://?size=64", "--fps", "1")
        line.wait_until(lambda: ask(ports, "alerts", "serve", "produce")[0] == 0, READY_TIMEOUT_S, "three answer")
        line.start("run", "run", "--model", "demo", "--devices", two_devices())
        line.wait_until(lambda: ask(ports, "run")[0] == 0, READY_TIMEOUT_S, "the workers are ready")
        assert ask(ports) == (0, "well: run, alerts, produce, serve")
        # It says which model that is
        [said] = [text for text in line.log("run").read_text().splitlines() if "THE DEMO MODEL IS IN USE" in text]
        assert json.loads(said)["level"] == "warning"
        assert json.loads(said)["model"] == str(MODEL)
        # Given a worker that dies, it is not ready until there is another one
        worker, pid = sorted(line.worker_pids().items())[0]
        os.kill(pid, signal.SIGKILL)
        line.wait_until(lambda: ask(ports, "run") == (1, f"run: not ready: {worker}"), READY_TIMEOUT_S, "that is seen")
        line.wait_until(lambda: ask(ports, "run")[0] == 0, READY_TIMEOUT_S, "it is replaced")
    assert ask(ports)[0] == 1


def test_a_folder_named_demo_wins_over_the_model_of_that_name(tmp_path: Path) -> None:
    assert model_folder(Path("demo")) == MODEL
    assert model_folder(tmp_path) == tmp_path
    before = Path.cwd()
    os.chdir(tmp_path)
    try:
        (tmp_path / "demo").mkdir()
        assert model_folder(Path("demo")) == Path("demo")
    finally:
        os.chdir(before)


def test_a_copy_of_the_demo_model_is_known_for_what_it_is(tmp_path: Path) -> None:
    copy = tmp_path / "ours"
    shutil.copytree(MODEL, copy)
    (copy / "bundle.json").write_text("{}")
    assert is_demo_model(copy)
    parameters = copy / "inference.pdiparams"
    parameters.write_bytes(parameters.read_bytes()[:-1] + b"!")
    assert not is_demo_model(copy)
    parameters.unlink()
    assert not is_demo_model(copy)
