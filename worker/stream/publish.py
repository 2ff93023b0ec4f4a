"""Publishing frames: many by one script call, with a policy for a full queue and safe retries."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, cast

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
_MOST_AT_ONCE = 64  # frames a call
_MOST_BYTES_AT_ONCE = 4 * 2**20  # a call, unless one frame alone has more: meanwhile Redis serves nobody else
_IDS_AHEAD = "some client put a frame with an id far in the future on the line"

Status = Literal["accepted", "dropped"]


@dataclass(frozen=True, slots=True)
class Published:
    """What became of a frame. A dropped one never was in the stream: its id is empty, the ledger has its reason.

    `evicted`: older frames that were dropped to make room for it.
    """

    id: str
    status: Status
    evicted: int = 0


class FramePublisher:
    """Publishes frames on a line; make one per thread."""

    def __init__(self, settings: Settings, client: Client | None = None) -> None:
        self._queue = settings.queue
        self._most_bytes = {"queue.max_bytes": settings.queue.max_bytes, "limits.max_bytes": settings.limits.max_bytes}
        self._redis = settings.redis
        self._keys = LineKeys(settings.line)
        self._client = client or connect(settings)
        self._script = publish_script(self._client)
        self._token = uuid.uuid4().hex
        self._attempt = 0
        self._frames: list[Frame] = []  # that the last call had and whose end is not known
        self._done: list[Published] = []  # what is known of the first of them

    def publish(self, frame: Frame, stop: threading.Event | None = None) -> Published:
        """Put a frame on the queue; see `publish_many`."""
        return self.publish_many([frame], stop)[0]

    def publish_many(self, frames: Sequence[Frame], stop: threading.Event | None = None) -> list[Published]:
        """Put frames on the queue in their order, waiting for room if the policy is `block`.

        After StreamUnavailable, call again with the same frames: each is published once, also where only the
        answer was lost.

        Args:
            stop: when set while waiting for room, the frames are given up: dropped, and counted as such.

        Raises:
            StreamUnavailable: Redis is away, or too few replicas have the frames yet; of some nothing is known yet.
            SettingsError: the user of `redis.url` has not the rights that publishing, or the policy, takes.
            FrameError: a frame alone is larger than the queue may be, or than any worker takes; then none of them is
                published. Redis itself would end the connection at a far larger one (proto-max-bulk-len), and say
                nothing that could be told from an outage.
        """
        self._check_sizes(frames)
        self._begin(frames)
        deadline = time.monotonic() + (self._queue.block_timeout_s or float("inf"))
        pause = _FIRST_PAUSE_S
        is_full = False
        while left := self._frames[len(self._done) :]:
            give_up = time.monotonic() >= deadline or (stop is not None and stop.is_set())
            if is_full and not give_up and not self._has_room(left[0]):
                decided = []
            else:
                decided = self._try(_first(left), give_up)
            if is_full := not decided:
                time.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(pause * 2, _LONGEST_PAUSE_S)
            else:
                self._done += decided
                self._attempt += 1
                pause = _FIRST_PAUSE_S
        done, self._frames, self._done = self._done, [], []
        return done

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _check_sizes(self, frames: Sequence[Frame]) -> None:
        for setting, most in self._most_bytes.items():
            for frame in frames:
                if len(frame.data) > most:
                    raise FrameError("too_large", f"a frame of {len(frame.data)} bytes exceeds {setting}")

    def _begin(self, frames: Sequence[Frame]) -> None:
        """Go on where the last call with these very frames ended; other ones are a new attempt."""
        if list(map(id, frames)) != list(map(id, self._frames)):
            self._frames, self._done = list(frames), []
            self._attempt += 1

    def _try(self, frames: list[Frame], give_up: bool) -> list[Published]:
        """What became of the first of these; nothing where there is no room for even one."""
        with stream_errors(), self._explained():
            answer = self._ask([(frame, flat_fields(frame_to_fields(frame))) for frame in frames], give_up)
            if answer and self._redis.wait_replicas:
                self._wait_for_replicas()
        return _published(answer)

    def _has_room(self, frame: Frame) -> bool:
        """Whether it is worth while to send a frame again that found no room; nothing of it is sent for that."""
        with stream_errors(), self._explained():
            return self._ask([(frame, [])], give_up=False) != b""

    def _ask(self, frames: list[tuple[Frame, list[Any]]], give_up: bool) -> bytes:
        """The script's answer for frames with their fields."""
        keys, queue = self._keys, self._queue
        args = [queue.policy, queue.max_frames, queue.max_bytes, GROUP_INSPECT, self._attempt, int(give_up)]
        for frame, fields in frames:
            args += [frame.camera, len(frame.data), len(fields), *fields]
        key_list = [keys.frames, keys.ledger, keys.cameras, keys.sizes, keys.publisher(self._token), keys.hold]
        answer: bytes = self._script(key_list, args)
        if answer == b"held":
            raise StreamUnavailable(f"{_IDS_AHEAD}; publishing waits until the frames before are inspected")
        return answer

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
            raise StreamUnavailable(f"{confirmed} of {wanted} replicas confirmed frames; see redis.wait_replicas")

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


def _first(frames: list[Frame]) -> list[Frame]:
    """As many as go by one call; the same ones at each retry."""
    total = 0
    for count, frame in enumerate(frames[:_MOST_AT_ONCE]):
        total += len(frame.data)
        if count and total > _MOST_BYTES_AT_ONCE:
            return frames[:count]
    return frames[:_MOST_AT_ONCE]


def _published(answer: bytes) -> list[Published]:
    """The script's answer, `status id evicted` for each frame, as objects."""
    words = iter(answer.decode().split(" ") if answer else [])
    return [
        Published("" if entry_id == "-" else entry_id, cast("Status", status), int(evicted))
        for status, entry_id, evicted in zip(words, words, words, strict=True)
    ]
