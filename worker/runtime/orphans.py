"""Workers that have outlived their supervisor: waited for while they drain, ended where they hang.

A living worker holds a record lock on the file of its name. The system tells who holds it, and lets go of it when
the worker is gone, however it went.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import struct
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import structlog

from worker.errors import LineError

log = structlog.get_logger()

_POLL_S = 0.1
_KILLED_IS_GONE_AFTER_S = 10.0
_FLOCK = struct.Struct("@hhqqi")  # struct flock: type, whence, start, length, process id


def hold_name(lock: Path) -> int:
    """Say that a worker of this name is alive; the descriptor is to be kept open until the process ends.

    Raises:
        LineError: another one lives.
    """
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise LineError(f"a worker of this name still runs: process {holder(lock) or 'unknown'}") from error
    return descriptor


def holder(lock: Path) -> int | None:
    """The process of the living worker of this name, or None; 0 for one that we cannot see from our container.

    To be asked by other processes only: one never sees its own lock.
    """
    question = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_GETLK, question))
    finally:
        os.close(descriptor)
    return None if kind == fcntl.F_UNLCK else max(0, pid)


def end_orphans(locks: Sequence[Path], patience_s: float, stop: threading.Event) -> None:
    """Wait until no worker has one of these names, and kill those that are still there after `patience_s`.

    Returns early where `stop` is set.

    Raises:
        LineError: one cannot be killed.
    """
    deadline = time.monotonic() + patience_s
    killed = False
    while (pids := {pid for lock in locks if (pid := holder(lock)) is not None}) and not stop.is_set():
        if time.monotonic() >= deadline:
            if killed:
                raise LineError(f"workers of an earlier supervisor cannot be ended: processes {sorted(pids)}")
            for pid in pids - {0}:
                log.error("worker of an earlier supervisor killed: it did not leave", pid=pid)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            killed, deadline = True, time.monotonic() + _KILLED_IS_GONE_AFTER_S
        stop.wait(_POLL_S)
