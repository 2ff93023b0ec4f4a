"""Keeping evidence beside the inspection: a thread that writes what it is given, and what it does where it cannot."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from worker.evidence.choice import is_kept
from worker.evidence.queue import RecordQueue
from worker.evidence.record import Record
from worker.evidence.writer import Writer
from worker.metrics import EvidenceMetrics
from worker.settings import Settings
from worker.types import Frame, Result

log = structlog.get_logger()

RETRY_S = 5.0
"""After a failure nothing is written for so long; then it is tried again."""

_LOOK_EVERY_S = 30.0  # so that a folder that is gone is known before the next frame needs it
_LEAST = 4096  # bytes, to see whether anything can be written
_IDLE_S = 0.5
_TICK_S = 0.05
_STUCK_S = 30.0  # of one write: a network's disk that answers no more
# Of one core's time, while frames wait for the inspection. A low priority would not do: what this thread then did
# slowly while it holds the interpreter, the whole worker would wait for.
_SHARE_UNDER_LOAD = 0.1
_LONGEST_REST_S = 0.5


class Recorder:
    """Takes committed results from one thread and never makes it wait."""

    def __init__(
        self, settings: Settings, folder: Path, metrics: EvidenceMetrics, is_loaded: Callable[[], bool]
    ) -> None:
        """`is_loaded`: whether the inspection has more to do than it can, so that it gets nearly all of the time."""
        evidence = settings.evidence
        self._ok_share = evidence.ok_share
        self._queue = RecordQueue(evidence.queue_frames, evidence.queue_bytes)
        self._writer = Writer(evidence, folder, settings.line, settings.limits)
        self._metrics = metrics
        self._is_loaded = is_loaded
        self._thread = threading.Thread(target=self._run, name="evidence", daemon=True)
        self._closed = threading.Event()
        self._abandoned = threading.Event()
        self._folder = str(folder)
        self._failure = ""
        self._failed_size = _LEAST
        self._lost = 0
        self._look_at = 0.0
        self._busy_since = 0.0

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def keep(self, frame: Frame, result: Result) -> None:
        """Keep evidence of this result, which has just been committed, if it is one of those that are kept."""
        if is_kept(result, self._ok_share) and not self._queue.put(Record(frame, result, time.time_ns())):
            self._metrics.count_dropped("queue_full")

    def miss(self, result: Result) -> None:
        """Count one of which nobody knows whether this worker has committed it."""
        if is_kept(result, self._ok_share):
            self._metrics.count_dropped("unclear")

    @property
    def problem(self) -> str:
        """Why evidence cannot be written now; empty where it can."""
        since = self._busy_since
        if since and time.monotonic() - since > _STUCK_S:
            return f"{self._folder}: a write has not come to its end for {time.monotonic() - since:.0f} s"
        return self._failure

    def finish(self, until: float, wait: Callable[[], None]) -> None:
        """Write what waits, until this time (monotonic seconds) at most; what is left then is counted as dropped.

        Args:
            wait: is called again and again meanwhile.
        """
        self._closed.set()
        while self._thread.is_alive() and time.monotonic() < until:
            wait()
            self._thread.join(_IDLE_S / 5)
        self._abandoned.set()
        while self._queue.get(0):
            self._metrics.count_dropped("stopped")

    def _run(self) -> None:
        while not self._abandoned.is_set():
            self._busy_since = time.monotonic()
            self._look()
            self._busy_since = 0.0
            record = self._queue.get(0 if self._closed.is_set() else _IDLE_S)
            self._busy_since, cpu_s = time.monotonic(), time.thread_time()
            if record:
                self._record(record)
                self._busy_since = 0.0
                self._rest(time.thread_time() - cpu_s)
            elif self._closed.is_set():
                return

    def _rest(self, cpu_s: float) -> None:
        """Leave the cores to the inspection after so much work, where it needs them."""
        rest_until = time.monotonic() + min(cpu_s * (1 / _SHARE_UNDER_LOAD - 1), _LONGEST_REST_S)
        while (left_s := rest_until - time.monotonic()) > 0 and self._is_loaded():
            if self._closed.wait(min(left_s, _TICK_S)):
                return

    def _look(self) -> None:
        """Try again what could not be written; without trouble see now and then that there is none."""
        if time.monotonic() < self._look_at:
            return
        try:
            self._writer.check(self._failed_size, again=bool(self._failure))
        except OSError as error:
            self._stop_for(error, self._failed_size)
            return
        self._look_at = time.monotonic() + _LOOK_EVERY_S
        if self._failure:
            self._failure, self._failed_size = "", _LEAST
            log.info("evidence can be written again", not_kept=self._lost)

    def _record(self, record: Record) -> None:
        if self._failure:
            self._lose("unwritable")
            return
        try:
            self._writer.write(record)
        except OSError as error:
            self._stop_for(error, 2 * record.size)  # the overlay is about as large as the frame
            self._lose("unwritable")
        except Exception:  # whatever it is: without this thread nothing more is kept
            log.exception("evidence of a frame cannot be made", frame=record.frame.id)
            self._lose("failed")
        else:
            self._metrics.count_written(record.result.verdict)

    def _stop_for(self, error: OSError, size: int) -> None:
        self._look_at = time.monotonic() + RETRY_S
        if not self._failure:
            self._failed_size, self._lost = size, 0
            log.error("evidence cannot be written; inspection goes on without", folder=self._folder, error=str(error))
        self._failure = f"{self._folder}: {error.strerror or error}"

    def _lose(self, reason: str) -> None:
        self._lost += 1
        self._metrics.count_dropped(reason)
