"""A worker's evidence: what is kept of the frames that it has committed, and who hears of it where it cannot be."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from worker.errors import LineError
from worker.evidence.recorder import Recorder
from worker.metrics import EvidenceMetrics
from worker.settings import Settings
from worker.stream.connection import connect
from worker.stream.evidence import EvidenceBoard
from worker.stream.keys import LineKeys
from worker.types import Frame, Result

log = structlog.get_logger()

_LOOK_EVERY_S = 1.0
_REPORT_EVERY_S = 10.0  # well under EVIDENCE_FADES_S
_MARGIN_S = 2.0  # of the time to drain, for what comes after the evidence


class EvidenceKeeper:
    """A recorder, and a thread that reports its trouble: not the recorder's own, which a disk may hold fast."""

    def __init__(self, settings: Settings, folder: Path, name: str, is_loaded: Callable[[], bool]) -> None:
        """`is_loaded`: whether frames wait for the inspection."""
        self._name = name
        self._drain_timeout_s = settings.work.drain_timeout_s
        self._metrics = EvidenceMetrics(name)
        self._recorder = Recorder(settings, folder, self._metrics, is_loaded)
        self._board = EvidenceBoard(connect(settings), LineKeys(settings.line))
        self._is_reported = True  # perhaps, by a worker of this name that was killed
        self._report_at = 0.0
        self._problem = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="evidence-watch", daemon=True)

    def start(self) -> None:
        """Begin to write, and to report."""
        self._recorder.start()
        self._thread.start()

    def keep(self, frame: Frame, result: Result) -> None:
        """This worker has committed this result just now. Waits for nothing."""
        self._recorder.keep(frame, result)

    def miss(self, result: Result) -> None:
        """Nobody knows whether this worker has committed it, or another one, which then keeps the evidence."""
        self._recorder.miss(result)

    def finish(self, stopped_at: float, stamp: Callable[[], None]) -> None:
        """Write what waits, as long as a worker has for draining.

        Args:
            stopped_at: when it was told to stop, monotonic seconds.
            stamp: is called again and again meanwhile.
        """
        self._recorder.finish(stopped_at + self._drain_timeout_s - _MARGIN_S, stamp)
        self._stop.set()
        self._thread.join(_MARGIN_S / 2)

    def _watch(self) -> None:
        while not self._stop.wait(_LOOK_EVERY_S):
            self._report(self._recorder.problem)
        self._report("")

    def _report(self, problem: str) -> None:
        self._metrics.show_up(not problem)
        if not problem and not self._is_reported:
            return
        if problem and self._problem and time.monotonic() < self._report_at:
            return
        try:
            if problem:
                self._is_reported = True
                self._board.report(self._name, problem)
            else:
                self._board.withdraw(self._name)
                self._is_reported = False
        except LineError as error:  # Redis is away, or its rights are of an earlier version: tried again at each look
            log.debug("the state of evidence was not reported", error=str(error))
            return
        self._problem, self._report_at = problem, time.monotonic() + _REPORT_EVERY_S
