"""`line-worker serve` with nothing configured: one command serves, as PaddleX's does."""

from __future__ import annotations

import base64
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import yaml
from cores import two_devices
from models import images, jpeg
from ports import free_port

from worker.settings import inherited_environment

from .conftest import SIZE
from .running import COMMAND, READY_TIMEOUT_S

ENDPOINT = "/image-anomaly-detection"


@contextmanager
def started(folder: Path, *arguments: str, **variables: str) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    environment = inherited_environment() | {"LINE_METRICS__PORT": "0"} | variables
    output = folder / "serve.log"
    with output.open("wb") as log:
        process = subprocess.Popen(
            [*COMMAND, "serve", *arguments], env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        yield process, output
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(30)


def wait_for_answer(process: subprocess.Popen[bytes], output: Path) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while "listening" not in output.read_text():
        assert process.poll() is None, output.read_text()
        assert time.monotonic() < deadline, output.read_text()
        time.sleep(0.1)


def post(port: int, picture: bytes) -> httpx.Response:
    body = {"image": base64.b64encode(picture).decode()}
    return httpx.post(f"http://127.0.0.1:{port}{ENDPOINT}", json=body, timeout=30)


def children(pid: int) -> list[int]:
    """All processes below this one."""
    found: list[int] = []
    for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        found += [int(one), *children(int(one))]
    return found


def test_one_command_serves_as_paddlex_does_and_leaves_nothing_behind(small_model: Path, tmp_path: Path) -> None:
    # Given a pipeline's file as PaddleX has it, and nothing configured
    module = {"module_name": "anomaly_detection", "model_name": "STFPM", "model_dir": str(small_model)}
    file = {"pipeline_name": "anomaly_detection", "SubModules": {"AnomalyDetection": module | {"batch_size": 1}}}
    pipeline, port = tmp_path / "pipeline.yaml", free_port()
    pipeline.write_text(yaml.safe_dump(file))
    arguments = ["--pipeline", str(pipeline), "--port", str(port), "--device", two_devices(), "--engine", "paddle"]
    with started(tmp_path, *arguments, LINE_PRECISION="fp32") as (process, output):
        # When it says where it listens, it serves
        wait_for_answer(process, output)
        for image in images(4):
            response = post(port, jpeg(image))
            assert response.status_code == 200, response.text
            assert response.json()["result"]["size"] == [SIZE, SIZE]
        assert httpx.get(f"http://127.0.0.1:{port}/ready").json()["result"]["workers"] == 2
        below = children(process.pid)
        assert len(below) >= 4  # Redis, the supervisor, two workers
        # And at its end all of it ends
        process.terminate()
        assert process.wait(30) == 0, output.read_text()
        assert [pid for pid in below if Path(f"/proc/{pid}").exists()] == []


def test_a_service_that_is_killed_leaves_nothing_behind_either(small_model: Path, tmp_path: Path) -> None:
    arguments = ["--model", str(small_model), "--port", str(free_port()), "--engine", "paddle", "--precision", "fp32"]
    with started(tmp_path, *arguments) as (process, output):
        wait_for_answer(process, output)
        below = children(process.pid)
        assert len(below) == 3, "a Redis, the supervisor and its worker"
        process.kill()
        process.wait()
        deadline = time.monotonic() + 20
        while any(Path(f"/proc/{pid}").exists() for pid in below):
            assert time.monotonic() < deadline, below
            time.sleep(0.1)


def test_workers_that_end_before_their_time_end_the_service_with_what_they_said(
    small_model: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "model"
    shutil.copytree(small_model, broken)
    (broken / "inference.pdiparams").unlink()
    with started(tmp_path, "--model", str(broken), "--port", str(free_port()), LINE_ENGINE="paddle") as (
        process,
        output,
    ):
        assert process.wait(READY_TIMEOUT_S) == 78, output.read_text()
        said = output.read_text()
        assert "`line-worker run` ended with exit code 78" in said
        assert "inference.pdiparams" in said
        assert "Traceback" not in said
        assert "listening" not in said


def test_a_missing_extra_is_named(small_model: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    # A finder that knows no uvicorn, before all others
    (blocked / "sitecustomize.py").write_text(
        "import sys\n"
        "from importlib.machinery import PathFinder\n"
        "class Without(PathFinder):\n"
        "    @classmethod\n"
        "    def find_spec(cls, name, path=None, target=None):\n"
        "        return None if name.partition('.')[0] == 'uvicorn' else super().find_spec(name, path, target)\n"
        "sys.meta_path[:] = [one if one is not PathFinder else Without for one in sys.meta_path]\n"
    )
    with started(tmp_path, "--model", str(small_model), PYTHONPATH=str(blocked)) as (process, output):
        assert process.wait(60) == 78
        assert output.read_text() == "Error: serve takes uvicorn: pip install 'line-worker[serve]'\n"


@pytest.mark.parametrize("flag", ["--batch_size", "--batch-size"])
def test_flags_are_taken_with_hyphens_and_underscores(flag: str) -> None:
    done = subprocess.run([*COMMAND, "serve", flag, "0"], capture_output=True, text=True, check=False)
    assert done.returncode == 78
    assert "batch.max_batch (from flag)" in done.stderr
