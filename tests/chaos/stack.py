"""The line under test: `line-worker run` and `line-worker alerts`, kept running as a service manager would."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from cores import two_devices

from worker.settings import Settings, inherited_environment, load
from worker.stream.connection import Client, connect
from worker.stream.keys import LineKeys
from worker.stream.ledger import Ledger, read_ledger

HOOKS = Path(__file__).with_name("hooks")
LINE = "chaos"
READY_TIMEOUT_S = 120.0

PADDLE = {"engine": "paddle", "precision": "fp32"}  # which the hooks stand before
PLENTY = {
    "keep.results": 100_000,
    "keep.alerts": 100_000,
    "keep.dead": 100_000,
    "metrics.port": 0,
    "metrics.alerts_port": 0,
    "log.format": "json",
}
# Everything that has to do with patience is short, so that hundreds of faults fit into minutes.
IMPATIENT = {
    "redis.timeout_s": 1,
    "redis.connect_timeout_s": 1,
    "redis.health_check_s": 1,
    "work.claim_idle_ms": 3_000,
    "work.hang_timeout_s": 4,
    "work.backoff_s": 0.1,
    "queue.max_frames": 400,
    "alerts.camera_silent_s": 5,
    "alerts.worker_down_s": 5,
}


class Service:
    """One command, started again whenever it has ended, as by a service manager."""

    def __init__(self, name: str, command: list[str], environment: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._command = [sys.executable, "-P", "-m", "worker", *command]
        self.environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, unless it runs."""
        if self._process is not None and self._process.poll() is None:
            return
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def restart_if_ended(self) -> int | None:
        """Start it again where it has ended; its exit code then."""
        assert self._process is not None
        code = self._process.poll()
        if code is not None:
            self.start()
        return code

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        with suppress(ProcessLookupError):
            self._process.send_signal(number)

    def wait(self, timeout_s: float = 60.0) -> int:
        """Wait for its end; its exit code."""
        assert self._process is not None
        return self._process.wait(timeout_s)

    def children(self) -> list[int]:
        """The processes that it has started."""
        assert self._process is not None
        pid = self._process.pid
        with suppress(OSError):
            return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        return []

    def stop(self) -> int:
        """Ask for the end with SIGTERM; the exit code."""
        if self._process is None:
            return 0
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            return self.wait()
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


class Stack:
    """Both services on one Redis; `url` is where they reach it, `direct_url` past what stands between."""

    def __init__(
        self, url: str, direct_url: str, folder: Path, model: Path, engine: str, settings: Mapping[str, object]
    ) -> None:
        flags = (
            {"line": LINE, "redis.url": url, "model": str(model), "devices": two_devices()} | PLENTY | PADDLE | settings
        )
        variables = {f"LINE_{name.upper().replace('.', '__')}": str(value) for name, value in flags.items()}
        environment = inherited_environment() | variables
        path = os.pathsep.join([str(HOOKS), *filter(None, [environment.get("PYTHONPATH")])])
        environment |= {"PYTHONPATH": path, "CHAOS_ENGINE": engine, "TMPDIR": str(folder)}
        self.settings = load({name: value for name, value in flags.items() if name != "model"})[0]
        self.direct_settings = load({"line": LINE, "redis.url": direct_url})[0]
        self.keys = LineKeys(LINE)
        self.run = Service("run", ["run"], environment, folder)
        self.alerts = Service("alerts", ["alerts"], environment, folder)
        self.unexpected: list[tuple[str, int]] = []

    @property
    def services(self) -> tuple[Service, Service]:
        """Both."""
        return self.run, self.alerts

    def connect(self) -> Client:
        """A client of one's own, past what stands between the line and its Redis."""
        return connect(self.direct_settings)

    def camera_settings(self, policy: str) -> Settings:
        """For a camera that publishes by this policy, over the same way as the workers."""
        return self.settings.model_copy(update={"queue": self.settings.queue.model_copy(update={"policy": policy})})

    def start(self) -> None:
        """Start both services."""
        for service in self.services:
            service.start()

    def look_after(self) -> None:
        """Start again what has ended though nobody asked for it, and remember that."""
        for service in self.services:
            if (code := service.restart_if_ended()) is not None:
                self.unexpected.append((service.name, code))

    def workers(self) -> list[int]:
        """The worker processes now."""
        return self.run.children()

    def ledger(self) -> Ledger:
        """The books."""
        client = self.connect()
        try:
            return read_ledger(client, self.keys)
        finally:
            client.close()

    def stop(self) -> dict[str, int]:
        """End both; their exit codes."""
        return {service.name: service.stop() for service in self.services}


def wait_until(condition: Callable[[], object], timeout_s: float, what: str) -> float:
    """Wait for a condition; the seconds it took."""
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > timeout_s:
            raise AssertionError(f"waited {timeout_s:g} s in vain until {what}")
        time.sleep(0.05)
    return time.monotonic() - started
