"""A line in Redis as the tests of publish, consume and commit see it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from line_settings import settings_for

from worker.settings import Settings
from worker.stream.commit import Committer, Dead, Finished, Outcome
from worker.stream.connection import connect
from worker.stream.consume import FrameConsumer
from worker.stream.dead import DeadLetters
from worker.stream.fields import result_from_fields
from worker.stream.keys import LineKeys
from worker.stream.ledger import Ledger, read_ledger
from worker.stream.publish import FramePublisher, Published
from worker.types import Frame, Result, Verdict

IDLE_MS = 100  # what a test waits before a frame counts as left behind


class Line:
    """One line with everything that acts on it; `do` is any other client."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.keys = LineKeys(settings.line)
        self.client = connect(settings)
        self.committer = Committer(self.client, self.keys, settings.keep)
        self.letters = DeadLetters(self.client, self.keys)
        self._publisher = FramePublisher(settings, self.client)
        self.seq = 0

    def close(self) -> None:
        self.client.close()

    def do(self, *command: Any) -> Any:
        return self.client.execute_command(*command)

    def with_queue(self, policy: str, **limits: object) -> Line:
        """The same line for a publisher with these limits."""
        flags = {f"queue__{name}": value for name, value in limits.items()}
        url = self.settings.redis.url.get_secret_value()
        return Line(settings_for(url, queue__policy=policy, **flags))

    def publish(self, camera: str = "c1", data: bytes = b"image", stop: threading.Event | None = None) -> Published:
        self.seq += 1
        return self._publisher.publish(Frame(camera, data, seq=self.seq), stop)

    def foreign(self, camera: str = "c1", data: bytes = b"image") -> str:
        """A frame of a client that knows nothing of us."""
        return str(self.do("XADD", self.keys.frames, "*", "camera", camera, "data", data).decode())

    def consumer(self, name: str, idle_ms: int = IDLE_MS) -> FrameConsumer:
        consumer = FrameConsumer(connect(self.settings), self.keys, name, idle_ms)
        consumer.join()
        return consumer

    def finish(self, *ids: str, camera: str = "c1", verdict: Verdict = Verdict.OK, reply_to: str = "") -> list[bool]:
        return self.committer.commit([finished(one, camera, verdict, reply_to) for one in ids])

    def bury(self, *ids: str, camera: str = "c1", reason: str = "truncated", reply_to: str = "") -> list[bool]:
        return self.committer.commit([dead(one, camera, reason, reply_to) for one in ids])

    def results(self) -> list[Result]:
        page = self.do("XRANGE", self.keys.results, "-", "+")
        return [result_from_fields(entry_id.decode(), flat) for entry_id, flat in page]

    def waiting(self) -> list[str]:
        """The ids on the frames stream, waiting or in work."""
        return [entry_id.decode() for entry_id, _ in self.do("XRANGE", self.keys.frames, "-", "+")]

    def pending(self) -> list[str]:
        return [one[0].decode() for one in self.do("XPENDING", self.keys.frames, "inspect", "-", "+", 10_000)]

    def books(self) -> Ledger:
        return read_ledger(self.client, self.keys)


def finished(frame: str, camera: str = "c1", verdict: Verdict = Verdict.OK, reply_to: str = "") -> Outcome:
    return Finished(Result(frame=frame, camera=camera, verdict=verdict, score=0.5, threshold=1.0), reply_to)


def dead(frame: str, camera: str = "c1", reason: str = "truncated", reply_to: str = "") -> Outcome:
    return Dead(frame, camera, reason, "it ends early", attempts=1, worker="w1", at=1, reply_to=reply_to)


def wait_until(condition: Callable[[], Any], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def in_background(work: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Runs `work` in a thread; what it returned is in the list once the thread has ended."""
    returned: list[Any] = []
    thread = threading.Thread(target=lambda: returned.append(work()))
    thread.start()
    return thread, returned
