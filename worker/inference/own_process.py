"""Converting and measuring, done in processes of their own: no worker should have their memory, nor their crashes."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

_PR_SET_PDEATHSIG = 1


def run_in_own_process(module: str, order: Mapping[str, Any], timeout_s: float) -> subprocess.CompletedProcess[str]:
    """Run `module` with its order as JSON on its standard input, and wait for its end.

    Raises:
        subprocess.TimeoutExpired: it was not done in time, and was killed.
    """
    command = [sys.executable, "-P", "-m", module]
    told = json.dumps({"asked_by": os.getpid(), "order": order})
    return subprocess.run(command, input=told, capture_output=True, text=True, check=False, timeout=timeout_s)


def take_order() -> dict[str, Any]:
    """In such a process: the order. From here on it ends with the process that gave it."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    told = json.load(sys.stdin)
    if os.getppid() != told["asked_by"]:  # it ended before the kernel knew
        sys.exit(1)
    order: dict[str, Any] = told["order"]
    return order


def last_words(done: subprocess.CompletedProcess[str]) -> str:
    """What a process that failed said last, or how it ended."""
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return lines[-1][:300] if lines else f"exit code {done.returncode}"
