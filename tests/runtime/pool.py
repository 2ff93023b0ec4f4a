"""A real `line-worker run` on a real Redis, and what a test wants to see and do around it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import models
from line_settings import settings_for
from prometheus_client.parser import text_string_to_metric_families

from worker.settings import inherited_environment
from worker.stream.connection import connect
from worker.stream.dead import DeadLetter, DeadLetters
from worker.stream.fields import result_from_fields
from worker.stream.keys import LineKeys
from worker.stream.ledger import Ledger, read_ledger
from worker.stream.publish import FramePublisher
from worker.types import Encoding, Frame, Result

COMMAND = [sys.executable, "-m", "worker", "run"]


def environment(url: str, **values: object) -> dict[str, str]:
    """For a worker pool: settings by their dotted names with `__` for dots, None leaves one out; in capitals other
    variables."""
    defaults = {
        "line": "test",
        "redis__url": url,
        "devices": f"cpu:{min(os.sched_getaffinity(0))}",
        "model": models.bare_export(),
        "engine": "paddle",
        "precision": "fp32",
        "metrics__port": 0,
        "batch__max_batch": 4,
        "work__backoff_s": 0.1,
        "log__format": "json",
    }
    chosen = {_variable(name): str(value) for name, value in (defaults | values).items() if value is not None}
    return inherited_environment() | chosen


def _variable(name: str) -> str:
    return name if name.isupper() else f"LINE_{name.upper()}"


class Pool:
    """Started at once; a context manager that leaves no process behind. `before` is what runs the command."""

    def __init__(self, url: str, folder: Path, *, before: Sequence[str] = (), **values: object) -> None:
        self.keys = LineKeys("test")
        self.settings = settings_for(url)
        self.client = connect(self.settings)
        self.log = folder / "run.log"
        self._publisher = FramePublisher(self.settings)
        self._seq = 0
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*before, *COMMAND],
                env=environment(url, **values),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._seen: set[int] = set()

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pids = {*self._seen, *self.workers()}
        self.process.kill()
        self.process.wait()
        for pid in pids:
            if alive(pid):
                os.kill(pid, signal.SIGKILL)
        if kind:
            sys.stderr.write(self.log.read_text()[-4000:])
        self.client.close()

    def workers(self) -> list[int]:
        """The process ids of the workers now."""
        try:
            text = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        except OSError:
            return []
        pids = [int(pid) for pid in text.split() if alive(int(pid))]
        self._seen.update(pids)
        return pids

    def ready(self, workers: int = 1) -> Pool:
        """Wait until so many workers are warm."""
        self.wait_for(lambda: self.log.read_text().count("worker ready") >= workers, "workers that are ready")
        self.workers()
        return self

    def wait_for(self, condition: Callable[[], Any], what: str, timeout_s: float = 60) -> Any:
        deadline = time.monotonic() + timeout_s
        while not (found := condition()):
            assert time.monotonic() < deadline, f"waited in vain for {what}"
            time.sleep(0.02)
        return found

    def publish(self, data: bytes, camera: str = "c1", **fields: Any) -> str:
        self._seq += 1
        return self._publisher.publish(Frame(camera, data, seq=self._seq, **fields)).id

    def publish_many(self, count: int, images: Sequence[bytes]) -> list[str]:
        return [self.publish(images[number % len(images)], encoding=Encoding.JPEG) for number in range(count)]

    def foreign(self, *fields: str | bytes) -> str:
        return str(self.client.execute_command("XADD", self.keys.frames, "*", *fields).decode())

    def books(self) -> Ledger:
        return read_ledger(self.client, self.keys)

    def done(self) -> bool:
        return self.books().backlog == 0

    def wait_until_done(self, timeout_s: float = 60) -> Ledger:
        self.wait_for(self.done, "an empty queue", timeout_s)
        return self.books()

    def results(self) -> list[Result]:
        page = self.client.execute_command("XRANGE", self.keys.results, "-", "+")
        return [result_from_fields(entry_id.decode(), flat) for entry_id, flat in page]

    def letters(self) -> list[DeadLetter]:
        return list(DeadLetters(self.client, self.keys).list())

    def said(self, event: str) -> list[dict[str, Any]]:
        """The lines of its log with this event."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    def ends(self, timeout_s: float = 60) -> int:
        """Wait until it ends by itself; the exit code."""
        return self.process.wait(timeout_s)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.workers()
        self.process.send_signal(signal.SIGTERM)
        return self.ends(30)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def scrape(port: int) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """What the endpoint serves: sample name → labels → value."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    samples: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            samples.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return samples
