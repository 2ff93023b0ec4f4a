"""The janitor's thread: when it sweeps, and what is told of it."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import structlog

from worker.evidence.janitor import Janitor
from worker.settings import Settings

log = structlog.get_logger()

_TICK_S = 1.0  # how soon a disk that gets full is noticed
_SWEEP_EVERY_S = 60.0
_SWEEP_SHARE = 50  # and at most this part of the time is spent in sweeping …
_SHORT_EVERY_S, _SHORT_SHARE = 2.0, 5  # … or this, where the disk is short of room
_NICENESS = 10


class Upkeep:
    """Sweeps a line's evidence in a thread of its own, in a process that inspects nothing."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._folder = folder
        self._janitor = Janitor(settings.evidence, folder, settings.line)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="evidence", daemon=True)
        self._size: int | None = None
        self._failure = ""

    def start(self) -> None:
        """Make the folder where it is missing, and begin. It is not made later: it may be a disk that is away."""
        try:
            self._folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        except OSError as error:
            log.error("the folder for evidence cannot be made", folder=str(self._folder), error=error.strerror)
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """End, after the sweep that is under way."""
        self._stop.set()
        self._thread.join(timeout_s)

    @property
    def size(self) -> int | None:
        """Bytes of evidence at the last sweep; None before the first."""
        return self._size

    def _run(self) -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)  # of this thread alone, on Linux
        sweep_at = short_at = 0.0
        while not self._stop.is_set():
            began = time.monotonic()
            if began >= sweep_at or (began >= short_at and self._is_short()):
                self._sweep()
                ended = time.monotonic()
                sweep_at = ended + max(_SWEEP_EVERY_S, _SWEEP_SHARE * (ended - began))
                short_at = ended + max(_SHORT_EVERY_S, _SHORT_SHARE * (ended - began))
            self._stop.wait(_TICK_S)

    def _is_short(self) -> bool:
        try:
            return self._janitor.is_short
        except OSError:
            return False

    def _sweep(self) -> None:
        try:
            size = self._janitor.sweep(time.time_ns())
        except Exception as error:  # whatever it is: without this thread the folder grows
            if not self._failure:
                log.warning("evidence cannot be swept", error=str(error), exc_info=not isinstance(error, OSError))
            self._failure = str(error)
        else:
            if self._janitor.trouble and not self._failure:
                log.warning("some evidence cannot be swept", error=self._janitor.trouble)
            self._failure = self._janitor.trouble
            self._size = self._size if size is None else size
