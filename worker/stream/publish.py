"""Publishing frames: one script call each, with a policy for a full queue and safe retries."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import redis

from worker.errors import FrameError, SettingsError, StreamUnavailable
from worker.settings import Settings
from worker.stream.connection import Client, connect, is_no_permission, stream_errors
from worker.stream.fields import flat_fields, frame_to_fields
from worker.stream.keys import GROUP_INSPECT, LineKeys
from worker.stream.scripts import publish_script
from worker.types import Frame

_FIRST_PAUSE_S = 0.005
_LONGEST_PAUSE_S = 0.1
_FORGET_PUBLISHER_S = 86_400  # as in publish.lua
_IDS_AHEAD = "some client put a frame with an id far in the future on the line"


@dataclass(frozen=True, slots=True)
class Published:
    """What became of a frame. A dropped one never was in the stream: its id is empty, the ledger has its reason.

    `evicted`: older frames that were dropped to make room for it.
    """

    id: str
    status: Literal["accepted", "dropped"]
    evicted: int = 0


class FramePublisher:
    """Publishes frames on a line, one at a time; make one per thread."""

    def __init__(self, settings: Settings, client: Client | None = None) -> None:
        self._queue = settings.queue
        self._most_bytes = {"queue.max_bytes": settings.queue.max_bytes, "limits.max_bytes": settings.limits.max_bytes}
        self._redis = settings.redis
        self._keys = LineKeys(settings.line)
        self._client = client or connect(settings)
        self._script = publish_script(self._client)
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
            StreamUnavailable: Redis is away, or too few replicas have the frame yet; nothing is known of it yet.
            SettingsError: the user of `redis.url` has not the rights that publishing, or the policy, takes.
            FrameError: the frame alone is larger than the queue may be, or than any worker takes. Redis itself would
                end the connection at a far larger one (proto-max-bulk-len), and say nothing that could be told from
                an outage.
        """
        for setting, most in self._most_bytes.items():
            if len(frame.data) > most:
                raise FrameError("too_large", f"a frame of {len(frame.data)} bytes exceeds {setting}")
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
        key_list = [keys.frames, keys.ledger, keys.cameras, keys.sizes, keys.publisher(self._token), keys.hold]
        with stream_errors(), self._explained():
            status, entry_id, evicted = self._script(key_list, args)
            if status in (b"accepted", b"dropped") and self._redis.wait_replicas:
                self._wait_for_replicas()
        if status == b"held":
            raise StreamUnavailable(f"{_IDS_AHEAD}; publishing waits until the frames before are inspected")
        if status == b"full":
            return None
        return Published(entry_id.decode(), "accepted" if status == b"accepted" else "dropped", evicted)

    def _wait_for_replicas(self) -> None:
        """Have `redis.wait_replicas` replicas confirm that they have the frame too, or the count of its drop.

        WAIT is for what its own connection wrote, and this may be a new one: hence the write before it. It may lead
        to a new primary too, which has the frame exactly if it knows of this attempt.
        """
        wanted, publisher = self._redis.wait_replicas, self._keys.publisher(self._token)
        [attempt], _, confirmed = self._client.execute_together(
            ("HMGET", publisher, "attempt"),
            ("EXPIRE", publisher, _FORGET_PUBLISHER_S),
            ("WAIT", wanted, self._redis.wait_timeout_ms),
        )
        if confirmed < wanted or attempt != b"%d" % self._attempt:
            raise StreamUnavailable(f"{confirmed} of {wanted} replicas confirmed a frame; see redis.wait_replicas")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Say what an error reply means here where it would puzzle a person."""
        try:
            yield
        except redis.ResponseError as error:
            if is_no_permission(error) and self._queue.policy == "drop-oldest":
                raise SettingsError(
                    "queue.policy drop-oldest deletes frames of other cameras too, which the user of redis.url may "
                    "not: take the user camera-evict of deploy/redis, or the policy block or drop-newest"
                ) from error
            if "exhausted the last possible ID" in str(error):
                raise StreamUnavailable(f"{_IDS_AHEAD}; a worker brings the ids back once the line is empty") from error
            raise
