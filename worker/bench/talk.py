"""Processes of the benchmark that do as they are told: a line of JSON in, a line of JSON out.

`serve` is the side of such a process, `Talker` that of the benchmark. A process that cannot go on answers with `error`
and `exit_code`. It ends when its standard input does, so that none outlives the benchmark.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from worker.bench.stopping import pause
from worker.errors import LineError

Message = dict[str, Any]
Answer = Callable[[Message], Message]

_TICK_S = 0.05
_ENDS_WITHIN_S = 5.0
_SHOWN = 2000  # characters of a log


def serve(begin: Callable[[Message], tuple[Message, Answer]]) -> None:
    """Answer until standard input ends; then leave at once, whatever native threads are still at.

    Args:
        begin: takes the first line, and gives the first answer and what answers the others.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a framework prints is no answer

    def say(message: Message) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    try:
        said, answer = begin(json.loads(sys.stdin.readline()))
        say(said)
        for line in sys.stdin:
            say(answer(json.loads(line)))
    except LineError as error:
        say({"error": str(error), "exit_code": error.exit_code})
    os._exit(0)


def end_group(leader: int) -> None:
    """Kill a process and whatever it has started and left behind, as a framework may."""
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


class Talker:
    """One such process; a context manager that ends it. Its log goes to `folder`."""

    def __init__(
        self, name: str, command: list[str], environment: dict[str, str], folder: Path, stop: threading.Event
    ) -> None:
        self._name = name
        self._stop = stop
        self._log = folder / f"{name}.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the benchmark, which ends them in their order
            )

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def ask(self, message: Message, timeout_s: float) -> Message:
        """Say something and wait for the answer; see `hear`."""
        self.tell(message)
        return self.hear(timeout_s)

    def tell(self, message: Message) -> None:
        """Say something; where the process has ended, `hear` says why."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass

    def hear(self, timeout_s: float) -> Message:
        """The next answer.

        Raises:
            LineError: the process says that it cannot go on, has ended, or takes too long.
            KeyboardInterrupt: the benchmark was asked to stop.
        """
        assert self._process.stdout is not None
        deadline = time.monotonic() + timeout_s
        while not select.select([self._process.stdout], [], [], _TICK_S)[0]:
            pause(self._stop, 0)
            if time.monotonic() > deadline:
                raise LineError(f"{self._name} gave no answer within {timeout_s:.0f} s:\n{self._tail()}")
        line = self._process.stdout.readline()
        if not line:
            raise LineError(f"{self._name} ended with exit code {self._process.wait()}:\n{self._tail()}")
        answer: Message = json.loads(line)
        if "error" in answer:
            error = LineError(answer["error"])
            error.exit_code = answer.get("exit_code", LineError.exit_code)
            raise error
        return answer

    def __enter__(self) -> Talker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_ENDS_WITHIN_S)
        end_group(self._process.pid)
        self._process.wait()

    def _tail(self) -> str:
        return self._log.read_text(errors="replace")[-_SHOWN:]
