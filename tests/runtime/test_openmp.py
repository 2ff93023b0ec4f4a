"""Where the system has no libgomp, paddle's own OpenMP runtime stands in for it."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

from worker.devices import parse_devices
from worker.runtime.names import claim_pool
from worker.runtime.openmp import with_openmp


def _absent(name: str) -> None:
    raise OSError(f"{name}: cannot open shared object file")


def test_a_process_finds_paddles_runtime_under_the_systems_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a system without libgomp, as a supervisor sees it
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(ctypes, "CDLL", _absent)
    with claim_pool("test", parse_devices("cpu:0")) as pool:
        environment = with_openmp(dict(os.environ), pool.folder)
        # When its child loads the library by name
        code = "import ctypes; ctypes.CDLL('libgomp.so.1').GOMP_parallel; print(open('/proc/self/maps').read())"
        maps = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    # Then it is the one that paddle brought
    assert "paddle/libs/libiomp5.so" in maps.stdout


def test_a_system_that_has_one_is_left_alone(tmp_path: Path) -> None:
    assert with_openmp({"A": "b"}, tmp_path) == {"A": "b"}
    assert list(tmp_path.iterdir()) == []
