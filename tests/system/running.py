"""A line of real `line-worker` processes on a Redis of the tests, started and watched as a user would."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cores import two_devices

from worker.settings import inherited_environment, load
from worker.stream.connection import connect
from worker.stream.consume import consumer_count
from worker.stream.fields import result_from_fields
from worker.stream.keys import GROUP_INSPECT, LineKeys
from worker.stream.ledger import Ledger, read_ledger
from worker.types import Result

COMMAND = [sys.executable, "-m", "worker"]
READY_TIMEOUT_S = 120.0  # the first one measures the engines


class RunningLine:
    """Starts commands for a line, `test` unless set; a context manager that kills what still runs at its end.

    `settings` are environment variables by their dotted names with `__` for dots, in capitals other variables. Logs go
    to `folder`.
    """

    def __init__(self, redis_url: str, folder: Path, **settings: object) -> None:
        self.keys = LineKeys(str(settings.get("line", "test")))
        self.client = connect(load({"redis.url": redis_url, "line": self.keys.line})[0])
        self._folder = folder
        values = {"line": "test", "redis__url": redis_url, "metrics__port": 0, "metrics__alerts_port": 0} | settings
        self._environment = inherited_environment() | _variables(values)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> RunningLine:
        return self

    def __exit__(self, *_: object) -> None:
        for name in [*self._processes]:
            self.stop(name)
        self.client.close()

    def start(self, name: str, *arguments: str, before: Sequence[str] = (), **settings: object) -> None:
        """Start `line-worker ARGUMENTS` under a name of its own, with settings that only it gets; `before` is what runs
        the command."""
        environment = self._environment | _variables(settings)
        with self.log(name).open("wb") as log:
            self._processes[name] = subprocess.Popen(
                [*before, *COMMAND, *arguments], env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def start_workers(self, *arguments: str) -> None:
        """Start `run` with two workers and wait until both are ready."""
        self.start("run", "run", "--devices", two_devices(), *arguments)
        self.wait_until(lambda: consumer_count(self.client, self.keys) == 2, READY_TIMEOUT_S, "two workers are ready")

    def finish(self, name: str, timeout_s: float = 60.0) -> None:
        """Wait for a command that ends by itself; it must end well."""
        process = self._processes.pop(name)
        assert process.wait(timeout_s) == 0, self._tail(name)

    def stop(self, name: str) -> int:
        """Ask for the end with SIGTERM; the exit code."""
        process = self._processes.pop(name)
        process.terminate()
        try:
            return process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def lose(self, name: str) -> None:
        """SIGKILL a command and all that it has started, as if their box had lost its power."""
        process = self._processes.pop(name)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        for pid in (process.pid, *map(int, children)):
            os.kill(pid, signal.SIGKILL)
        process.wait()

    def pid(self, name: str) -> int:
        """The process of a command that was started."""
        return self._processes[name].pid

    def log(self, name: str) -> Path:
        """Where a command's output goes."""
        return self._folder / f"{name}.log"

    def events(self, name: str, event: str) -> list[dict[str, Any]]:
        """The log lines of a command with this `event`."""
        lines = [line for line in self.log(name).read_text().splitlines() if line.startswith("{") and event in line]
        return [found for line in lines if (found := json.loads(line))["event"] == event]

    def worker_pids(self, name: str = "run") -> dict[str, int]:
        """The process of each worker by the worker's name, the latest where one was restarted."""
        return {line["worker"]: line["pid"] for line in self.events(name, "worker started")}

    def kill_in_mid_batch(self, worker: str) -> set[str]:
        """SIGKILL a worker while it has frames in hand, and say which."""
        in_hand = self.freeze_in_mid_batch(worker)
        os.kill(self.worker_pids()[worker], signal.SIGKILL)
        return in_hand

    def freeze_in_mid_batch(self, worker: str, name: str = "run") -> set[str]:
        """SIGSTOP a worker of this command while it has frames in hand, and say which."""
        pid = self.worker_pids(name)[worker]
        for _ in range(500):
            os.kill(pid, signal.SIGSTOP)
            time.sleep(0.05)  # what it had sent to Redis is done by then
            if in_hand := self._pending_of(worker):
                return in_hand
            os.kill(pid, signal.SIGCONT)
            time.sleep(0.005)
        raise AssertionError(f"{worker} never had a frame in hand")

    def ledger(self) -> Ledger:
        """The books as of now."""
        return read_ledger(self.client, self.keys)

    def results(self) -> list[Result]:
        """All results, oldest first."""
        page = self.client.execute_command("XRANGE", self.keys.results, "-", "+")
        return [result_from_fields(entry_id.decode(), flat) for entry_id, flat in page]

    def wait_until(self, condition: Callable[[], object], timeout_s: float, what: str) -> None:
        """Wait for a condition; fails after `timeout_s`, or at once when a command has ended before its time."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            for name, process in self._processes.items():
                assert process.poll() in (None, 0), f"waiting until {what}: {self._tail(name)}"
            assert time.monotonic() < deadline, f"waited {timeout_s:g} s in vain until {what}: {self.ledger()}"
            time.sleep(0.05)

    def _pending_of(self, worker: str) -> set[str]:
        page = self.client.execute_command("XPENDING", self.keys.frames, GROUP_INSPECT, "-", "+", 1_000, worker)
        return {entry[0].decode() for entry in page}

    def _tail(self, name: str) -> str:
        return f"`line-worker {name}` ended:\n{self.log(name).read_text(errors='replace')[-2000:]}"


def _variables(settings: dict[str, object]) -> dict[str, str]:
    return {name if name.isupper() else f"LINE_{name.upper()}": str(value) for name, value in settings.items()}
