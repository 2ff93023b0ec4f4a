"""One place in the pool: a device, and the worker process that serves it, life after life."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog

from worker.devices import Device, child_environment
from worker.metrics import worker_files
from worker.runtime.openmp import with_openmp
from worker.runtime.orphans import Predecessor
from worker.runtime.progress import Progress
from worker.runtime.reserve import reserve
from worker.runtime.resident import resident_bytes
from worker.settings import Settings, inherited_environment, to_json

log = structlog.get_logger()

_LONGEST_BACKOFF_S = 30.0
_SHARE_WINDOW_S = 5.0
_HEALTHY_AFTER_S = 60.0
_KILLED_IS_GONE_AFTER_S = 5.0


class Slot:
    """Starts, watches and restarts one worker. All times are monotonic seconds.

    Raises:
        SettingsError: there is no room for the worker's files in `folder`.
    """

    def __init__(self, settings: Settings, device: Device, name: str, lock: Path, folder: Path) -> None:
        self.device = device
        self.name = name
        self.restarts = {"crash": 0, "hang": 0}  # there from the start, so that a rate sees the first one
        self.fruitless = 0
        self._settings = settings
        self._lock = lock
        self._predecessor = Predecessor(lock, settings.work.drain_timeout_s)
        self._stem = folder / name.replace(":", "_")
        self._folder = folder
        self._progress = Progress(self._stem.with_suffix(".progress"))
        self._reason_file = self._stem.with_suffix(".reason")
        self._engine_file = self._stem.with_suffix(".engine")
        for file, size in worker_files(name).items():
            reserve(folder / file, size)
        self._process: subprocess.Popen[str] | None = None
        self._killed_for = ""
        self._start_at = 0.0
        self._started = 0.0
        self._share = 0.0
        self._measured = (time.monotonic(), 0.0)  # when, and the device's busy seconds then

    @property
    def running(self) -> bool:
        """Whether there is a process."""
        return self._process is not None

    def start_when_due(self) -> None:
        """Start a worker unless its backoff is still running, or an earlier supervisor's worker of its name lives.

        Raises:
            LineError: that one cannot be ended.
        """
        if self._process is not None or time.monotonic() < self._start_at or not self._predecessor.gone():
            return
        self._progress.reset()
        self._reason_file.unlink(missing_ok=True)
        self._killed_for = ""
        self._started = time.monotonic()
        try:
            self._process = self._spawn()
        except OSError as error:  # too many processes or open files: that may pass
            self.plan_restart(1, f"cannot be started: {error}")
            return
        order = {
            "settings": to_json(self._settings),
            "device": str(self.device),
            "name": self.name,
            "lock_file": str(self._lock),
            "progress_file": str(self._stem.with_suffix(".progress")),
            "reason_file": str(self._reason_file),
            "engine_file": str(self._engine_file),
        }
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it died at once; the next look at it says why
        log.info("worker started", worker=self.name, pid=self._process.pid)

    def _spawn(self) -> subprocess.Popen[str]:
        environment = with_openmp(child_environment(self.device, inherited_environment()), self._folder)
        environment["PROMETHEUS_MULTIPROC_DIR"] = str(self._folder)
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "worker.runtime.child"], stdin=subprocess.PIPE, env=environment, text=True
        )

    def ended(self) -> tuple[int, str] | None:
        """Exit code and reason of a process that has ended since the last look, or None."""
        if self._process is None or (code := self._process.poll()) is None:
            return None
        assert self._process.stdin is not None
        with suppress(OSError):  # of the order, where it died before it had read it
            self._process.stdin.close()
        self._process = None
        reason = self._reason_file.read_text() if self._reason_file.exists() else ""
        if not reason:
            reason = self._killed_for or (f"killed by signal {-code}" if code < 0 else f"exit code {code}")
        return code, reason

    def plan_restart(self, code: int, reason: str) -> None:
        """Count the death and set the backoff.

        A life was no fruitless one if it finished a frame, stood ready for a while, or ended because somebody
        asked for it.
        """
        healthy = code == 0 or self._progress.finished or self._progress.ready_for_s >= _HEALTHY_AFTER_S
        self.fruitless = 0 if healthy else self.fruitless + 1
        kind = "hang" if self._killed_for else "crash"
        self.restarts[kind] += 1
        pause = min(_LONGEST_BACKOFF_S, self._settings.work.backoff_s * 2 ** max(0, self.fruitless - 1))
        self._start_at = time.monotonic() + pause
        log.error("worker died", worker=self.name, reason=reason, restart_in_s=pause, fruitless=self.fruitless)

    def kill_if_hung(self, woke: float) -> None:
        """Kill a worker whose stalest stage made no progress for too long, or that does not get ready.

        Args:
            woke: when we began to look, or went on after a sleep; what came before does not count.
        """
        if self._process is None or self._killed_for:
            return
        work, now = self._settings.work, time.monotonic()
        stage, stamp = self._progress.stalest()
        if self._progress.ready and now - max(stamp, woke) > work.hang_timeout_s:
            self._killed_for = f"hung: stage {stage} made no progress for {work.hang_timeout_s:g} s"
        elif not self._progress.ready and now - max(self._started, woke) > work.start_timeout_s:
            self._killed_for = f"not ready after {work.start_timeout_s:g} s"
        if self._killed_for:
            log.error("worker killed", worker=self.name, reason=self._killed_for)
            self._process.kill()

    def measure(self) -> None:
        """Take the share of the last few seconds that the device was at work."""
        then, busy_then = self._measured
        now, busy = time.monotonic(), self._progress.busy_s
        if now - then >= _SHARE_WINDOW_S:
            self._share = min(1.0, max(0.0, busy - busy_then) / (now - then))
            self._measured = (now, busy)

    def terminate(self) -> None:
        """Ask the worker to drain."""
        if self._process is not None:
            self._process.terminate()

    def kill(self) -> None:
        """End the worker at once. One that its device's driver holds fast is left to the system."""
        if self._process is not None:
            self._process.kill()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_KILLED_IS_GONE_AFTER_S)

    def status(self) -> dict[str, Any]:
        """For the metrics: see `WorkersCollector`."""
        up = self._process is not None and self._progress.ready and not self._killed_for
        return {
            "worker": self.name,
            "device": str(self.device),
            "up": int(up),
            "busy_share": self._share,
            "restarts": dict(self.restarts),
            "resident_bytes": resident_bytes(self._process.pid) if self._process else 0,
            "engine": self._engine(),
        }

    def _engine(self) -> dict[str, Any]:
        """What the worker said of its engine and of those that it did not take; empty before it has chosen."""
        try:
            chosen: dict[str, Any] = json.loads(self._engine_file.read_text())
        except (OSError, ValueError):
            return {}
        return chosen
