"""Running `line-worker bench` as a user does, and finding what it leaves behind."""

from __future__ import annotations

import subprocess
import uuid
from pathlib import Path

from system.running import COMMAND

from worker.bench.usage import children
from worker.settings import inherited_environment

_MARK = "BENCH_TEST_MARK"


class Run:
    """The command as a process; all that it starts inherits a mark by which `left` finds it."""

    def __init__(self, *arguments: str) -> None:
        self._mark = uuid.uuid4().hex
        self.process = subprocess.Popen(
            [*COMMAND, "bench", *arguments],
            env=inherited_environment() | {_MARK: self._mark, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()  # not killed: it ends its own processes
        self.process.communicate()

    def family(self) -> list[int]:
        """The processes below the command, as they are now."""
        found = [self.process.pid]
        for pid in found:
            found += children(pid)
        return found[1:]

    def left(self) -> list[str]:
        """The commands of processes that were started and still run; Redis hides its mark."""
        found = []
        for process in Path("/proc").iterdir():
            if process.name.isdigit():
                try:
                    marked = f"{_MARK}={self._mark}".encode() in (process / "environ").read_bytes()
                    command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                except OSError:  # gone, or somebody else's
                    continue
                found += [command] if marked else []
        return found

    def finish(self, timeout_s: float) -> str:
        """Wait for its end; what it printed."""
        try:
            return self.process.communicate(timeout=timeout_s)[0]
        except subprocess.TimeoutExpired:
            self.process.terminate()
            return self.process.communicate()[0] + f"\nnot at its end after {timeout_s:g} s"
