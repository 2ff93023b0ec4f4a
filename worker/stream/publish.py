"""Publishing frames: one script call each, with a policy for a full queue and safe retries."""

from __future__ import annotations

import random
import threading
import time
import uuid
from dataclasses import dataclass
from typing import Literal

from worker.errors import FrameError
from worker.settings import Settings
from worker.stream.connection import Client, connect, stream_errors
from worker.stream.fields import flat_fields, frame_to_fields
from worker.stream.keys import GROUP_INSPECT, LineKeys
from worker.stream.scripts import Script
from worker.types import Frame

_FIRST_PAUSE_S = 0.005
_LONGEST_PAUSE_S = 0.1


@dataclass(frozen=True, slots=True)
class Published:
    """What became of a frame. A dropped one has an id too, and is in the ledger with its reason.

    `evicted`: older frames that were dropped to make room for it.
    """

    id: str
    status: Literal["accepted", "dropped"]
    evicted: int = 0


class FramePublisher:
    """Publishes frames on a line, one at a time; make one per thread."""

    def __init__(self, settings: Settings, client: Client | None = None) -> None:
        self._queue = settings.queue
        self._keys = LineKeys(settings.line)
        self._client = client or connect(settings.redis)
        self._script = Script(self._client, "frames.lua", "publish.lua")
        self._token = uuid.uuid4().hex
        self._attempt = 0
        self._pending: Frame | None = None

    def publish(self, frame: Frame, stop: threading.Event | None = None) -> Published:
        """Put a frame on the queue, waiting for room if the policy is `block`.

        After StreamUnavailable, call again with the same frame: it is published once, also where only the
        answer was lost.

        Args:
            stop: when set while waiting for room, the frame is given up: dropped, and counted as such.

        Raises:
            StreamUnavailable: Redis is away; nothing is known of the frame yet.
            FrameError: the frame alone is larger than the queue may be.
        """
        if len(frame.data) > self._queue.max_bytes:
            raise FrameError("too_large", f"a frame of {len(frame.data)} bytes exceeds queue.max_bytes")
        if frame is not self._pending:
            self._pending = frame
            self._attempt += 1
        deadline = time.monotonic() + (self._queue.block_timeout_s or float("inf"))
        pause = _FIRST_PAUSE_S
        while True:
            give_up = time.monotonic() >= deadline or (stop is not None and stop.is_set())
            published = self._try(frame, give_up)
            if published is not None:
                self._pending = None
                return published
            time.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, _LONGEST_PAUSE_S)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _try(self, frame: Frame, give_up: bool) -> Published | None:
        keys, queue = self._keys, self._queue
        args = [queue.policy, queue.max_frames, queue.max_bytes, GROUP_INSPECT, self._attempt]
        args += [frame.camera, len(frame.data), int(give_up), *flat_fields(frame_to_fields(frame))]
        with stream_errors():
            status, entry_id, evicted = self._script(
                [keys.frames, keys.ledger, keys.cameras, keys.sizes, keys.publisher(self._token)], args
            )
        if status == b"full":
            return None
        return Published(entry_id.decode(), "accepted" if status == b"accepted" else "dropped", evicted)
