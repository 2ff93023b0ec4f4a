"""Cameras that remember what they published: the one side of the oracle."""

from __future__ import annotations

import random
import threading
import time
from contextlib import closing
from dataclasses import dataclass, field

from pictures import Pictures

from worker.errors import LineError, StreamUnavailable
from worker.settings import Settings
from worker.stream.connection import Client, connect
from worker.stream.keys import LineKeys
from worker.stream.publish import FramePublisher
from worker.types import Frame

FOREIGN = "foreign"
"""The camera that is any Redis client; it may publish a number twice, and frames without a camera's name."""
NAMELESS = "?"
"""Under which the ledger counts such frames."""


@dataclass
class Account:
    """What one camera knows of its frames. Times are unix seconds.

    `accepted`: entry id → when; `refused`: how many were dropped at the door; `unknown`: how many may have come in or
    not, since their answer was lost and no one asked again.
    """

    camera: str
    accepted: dict[str, float] = field(default_factory=dict)
    refused: int = 0
    unknown: int = 0
    error: str = ""


class Camera(threading.Thread):
    """Publishes numbered frames by the product's own publisher until stopped; after an outage it tries again."""

    def __init__(self, name: str, settings: Settings, pictures: Pictures, stop: threading.Event, fps: float) -> None:
        super().__init__(name=name, daemon=True)
        self.account = Account(name)
        self._settings = settings
        self._pictures = pictures
        self._stopping = stop
        self._pause_s = 1 / fps
        self._seq = 0

    def run(self) -> None:
        try:
            with closing(FramePublisher(self._settings)) as publisher:
                while not self._stopping.is_set():
                    self._publish(publisher)
                    self._stopping.wait(self._pause_s * random.uniform(0.5, 1.5))
        except LineError as error:
            self.account.error = repr(error)

    def _publish(self, publisher: FramePublisher) -> None:
        frame = Frame(self.name, self._pictures.frame(self._seq), seq=self._seq)
        self._seq += 1
        while True:  # until it is known what became of it
            try:
                published = publisher.publish(frame)
            except StreamUnavailable:
                time.sleep(random.uniform(0.02, 0.1))
            else:
                break
        if published.status == "accepted":
            self.account.accepted[published.id] = time.time()
        else:
            self.account.refused += 1


class ForeignCamera(threading.Thread):
    """Any Redis client: a plain XADD, and no second try, so that of a lost answer nobody knows what it was.

    Besides good pictures it publishes what has been put into `garbage`.
    """

    def __init__(
        self, settings: Settings, keys: LineKeys, pictures: Pictures, stop: threading.Event, fps: float
    ) -> None:
        super().__init__(name=FOREIGN, daemon=True)
        self.account = Account(FOREIGN)
        self.garbage: list[list[str | bytes]] = []
        self._settings = settings
        self._replicas = settings.redis.wait_replicas
        self._frames = keys.frames
        self._pictures = pictures
        self._stopping = stop
        self._pause_s = 1 / fps
        self._seq = 0

    def run(self) -> None:
        with closing(connect(self._settings)) as client:
            while not self._stopping.is_set():
                self._publish(client, self._garbage_or_picture())
                self._stopping.wait(self._pause_s * random.uniform(0.5, 1.5))

    def _garbage_or_picture(self) -> list[str | bytes]:
        if self.garbage:
            return self.garbage.pop()
        self._seq += 1
        return ["camera", FOREIGN, "seq", str(self._seq), "data", self._pictures.frame(self._seq)]

    def _publish(self, client: Client, fields: list[str | bytes]) -> None:
        at = time.time()
        try:
            entry_id = client.execute_command("XADD", self._frames, "*", *fields)
            if self._replicas and client.execute_command("WAIT", self._replicas, 500) < self._replicas:
                raise TimeoutError("no replica has it")
        except Exception:  # whatever a client may meet while everything falls
            self.account.unknown += 1
            time.sleep(0.1)
        else:
            self.account.accepted[entry_id.decode()] = at
