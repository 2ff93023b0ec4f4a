"""Imports have no side effects, and no process but a worker loads a framework."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from worker.runtime.progress import Progress

from .pool import Pool

HEAVY = ("paddle", "torch", "onnxruntime", "openvino")
FREE_OF_FRAMEWORKS = [
    "worker",
    "worker.cli",
    "worker.cli.run",
    "worker.cli.watch",
    "worker.runtime.supervisor",
    "worker.runtime.child",
    "worker.inference.predictor",
    "worker.stream.publish",
    "worker.capture.run",
]


@pytest.mark.parametrize("module", FREE_OF_FRAMEWORKS)
def test_importing_loads_no_framework_and_starts_nothing(module: str) -> None:
    code = (
        f"import sys, threading, os, signal; before = dict(os.environ); import {module};"
        "os.environ.pop('LD_LIBRARY_PATH', 0); before.pop('LD_LIBRARY_PATH', 0);"  # OpenCV sets it when it is imported
        f"print([name for name in {HEAVY} if name in sys.modules], threading.active_count(),"
        "dict(os.environ) == before, signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] 1 True True"
    assert done.stderr == ""


def test_importing_the_package_is_light() -> None:
    code = "import sys; import worker; print([m for m in ('redis', 'cv2', 'numpy', 'pydantic') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_supervisor_never_loads_paddle_and_its_worker_does(redis_url: str, tmp_path: Path) -> None:
    with Pool(redis_url, tmp_path, metrics__port=0) as pool:
        pool.ready()
        (worker,) = pool.workers()
        assert "libpaddle" in Path(f"/proc/{worker}/maps").read_text()
        assert "libpaddle" not in Path(f"/proc/{pool.process.pid}/maps").read_text()


def test_a_worker_is_pinned_sees_no_accelerator_and_no_password(redis_url: str, tmp_path: Path) -> None:
    core = max(os.sched_getaffinity(0))
    with Pool(redis_url, tmp_path, devices=f"cpu:{core}") as pool:
        pool.ready()
        (worker,) = pool.workers()
        assert {os.sched_getaffinity(int(task.name)) == {core} for task in Path(f"/proc/{worker}/task").iterdir()} == {
            True
        }
        variables = Path(f"/proc/{worker}/environ").read_bytes().split(b"\0")
        assert b"CUDA_VISIBLE_DEVICES=-1" in variables
        assert b"OMP_NUM_THREADS=1" in variables
        assert not [variable for variable in variables if variable.startswith(b"LINE_")]
        command = Path(f"/proc/{worker}/cmdline").read_bytes()
        assert redis_url.encode() not in command


def test_progress_is_seen_by_another_process_and_begins_anew_with_each_life(tmp_path: Path) -> None:
    worker = Progress(tmp_path / "w.progress")
    worker.reset()
    worker.mark_ready()
    worker.stamp("reader")
    worker.stamp("publisher")
    worker.add_finished(3)
    worker.add_busy(0.5)
    supervisor = Progress(tmp_path / "w.progress")
    assert (supervisor.ready, supervisor.finished, supervisor.busy_s) == (True, 3, 0.5)
    assert supervisor.stalest()[0] == "device"
    worker.reset()
    assert (supervisor.ready, supervisor.finished, supervisor.busy_s) == (False, 0, 0)


def test_files_in_the_current_folder_are_not_taken_for_modules(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a folder with files named like modules that a worker imports
    for name in ("queue.py", "mmap.py", "cv2.py"):
        (tmp_path / name).write_text("raise SystemExit('shadowed')")
    monkeypatch.chdir(tmp_path)
    # When the command that pip installs is started there
    command = [str(Path(sys.executable).with_name("line-worker")), "run"]
    monkeypatch.setattr(sys.modules[Pool.__module__], "COMMAND", command)
    # Then its workers start all the same
    with Pool(redis_url, tmp_path) as pool:
        pool.ready()
        assert pool.said("worker died") == []
