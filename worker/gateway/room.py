"""How much may be in hand at once: requests, and the bytes of their bodies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Gauge

from worker.gateway.failures import Failure
from worker.settings import Settings


class Place:
    """A request's place; `take` is called with the bytes that came of its body."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self.bytes = 0

    def take(self, count: int) -> None:
        """Room for `count` bytes more.

        Raises:
            Failure: 429 there is none.
        """
        self._room.take(count, self.bytes)
        self.bytes += count


class Room:
    """Places for `gateway.max_waiting` requests, whose bodies together have at most `queue.max_bytes`: as much as may
    wait on the line."""

    def __init__(self, settings: Settings, waiting: Gauge) -> None:
        self._most = settings.gateway.max_waiting
        self._most_bytes = settings.queue.max_bytes
        self._waiting = waiting
        self._count = 0
        self._bytes = 0

    @contextmanager
    def place(self) -> Iterator[Place]:
        """A place until the end of the block.

        Raises:
            Failure: 429 there is none.
        """
        if self._count >= self._most:
            raise Failure(429, f"{self._count} requests are waiting already (gateway.max_waiting)", 1)
        place = Place(self)
        self._count += 1
        self._waiting.set(self._count)
        try:
            yield place
        finally:
            self._count -= 1
            self._bytes -= place.bytes
            self._waiting.set(self._count)

    def take(self, count: int, own: int) -> None:
        """Room for `count` bytes of a request that has `own` already.

        Raises:
            Failure: 429 there is none.
        """
        others = self._bytes - own  # who is alone always has room: that a picture is too large is said of the picture
        if others and self._bytes + count > self._most_bytes:
            raise Failure(429, f"the requests that are waiting hold {others:,} bytes (queue.max_bytes)", 1)
        self._bytes += count
