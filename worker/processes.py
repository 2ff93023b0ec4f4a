"""Processes of ours: the same commands that a user would start, each with its settings in its environment."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType

from worker.errors import LineError

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)  # loaded now: between fork and exec there is no time for it


def end_with_parent() -> None:
    """In a child before it becomes its program: SIGTERM for it when whoever started it dies, by whatever signal.

    What starts it must be a thread that lives as long as the process does, such as the main one.
    """
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Processes:
    """Starts commands and ends them again; a context manager. Their logs go to `folder`, one file each."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder = folder
        self._environment = dict(os.environ) | environment
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *arguments: str) -> None:
        """Start `line-worker ARGUMENTS` under a name of its own."""
        with self._log(name).open("wb") as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-P", "-m", "worker", *arguments],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for whoever started them, who ends them in their order
                preexec_fn=end_with_parent,  # noqa: PLW1509 - a call of libc, which takes no lock
            )

    def check(self) -> None:
        """Raise what ended a command before its time.

        Raises:
            LineError: with the end of the command's log.
        """
        for name, process in self._running.items():
            if (code := process.poll()) is not None:
                tail = self._log(name).read_text(errors="replace")[-2000:]
                error = LineError(f"`line-worker {name}` ended with exit code {code}:\n{tail}")
                error.exit_code = code if code > 0 else LineError.exit_code
                raise error

    def stop(self, name: str, patience_s: float = 30.0) -> None:
        """Ask one to drain and wait for it; end it hard when it takes too long."""
        process = self._running.pop(name, None)
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(patience_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in reversed(list(self._running)):
            self.stop(name, patience_s=10.0)

    def _log(self, name: str) -> Path:
        return self._folder / f"{name}.log"
