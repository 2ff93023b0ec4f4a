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
import time
from pathlib import Path

import structlog

from worker.errors import LineError

log = structlog.get_logger()

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


class Predecessor:
    """The worker of an earlier supervisor that may still have a name: waited for at first, then killed."""

    def __init__(self, lock: Path, patience_s: float) -> None:
        self._lock = lock
        self._patience_s = patience_s
        self._deadline: float | None = None
        self._killed = False

    def gone(self) -> bool:
        """Whether there is none, or none any more; to be asked until then.

        Raises:
            LineError: it cannot be killed.
        """
        pid = holder(self._lock)
        if pid is None:
            self._deadline, self._killed = None, False
            return True
        now = time.monotonic()
        if self._deadline is None:
            self._deadline = now + self._patience_s
        if now >= self._deadline:
            if self._killed:
                raise LineError(f"the worker of an earlier supervisor cannot be ended: process {pid or 'unknown'}")
            log.error("worker of an earlier supervisor killed: it did not leave", pid=pid)
            if pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._deadline, self._killed = now + _KILLED_IS_GONE_AFTER_S, True
        return False
