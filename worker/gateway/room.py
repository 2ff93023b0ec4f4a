"""How much may be in hand at once: requests that wait for a verdict, and the bytes of bodies and answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Gauge

from worker.gateway.failures import Failure
from worker.settings import Settings


class Held:
    """The bytes that one request has in hand: first those of its body, as they come, then those of its answer."""

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

    def change_to(self, count: int) -> None:
        """In place of what it had it has so many now."""
        self._room.change(count - self.bytes)
        self.bytes = count


class Room:
    """Places for `gateway.max_waiting` requests, and for as many bytes as may wait on the line, `queue.max_bytes`."""

    def __init__(self, settings: Settings, waiting: Gauge) -> None:
        self._most = settings.gateway.max_waiting
        self._most_bytes = settings.queue.max_bytes
        self._waiting = waiting
        self._count = 0
        self._bytes = 0

    @contextmanager
    def held(self) -> Iterator[Held]:
        """Room for a request's bytes until the end of the block."""
        held = Held(self)
        try:
            yield held
        finally:
            held.change_to(0)

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place to wait in until the end of the block: for a request whose body is there; slow ones take none.

        Raises:
            Failure: 429 there is none.
        """
        if self._count >= self._most:
            raise Failure(429, f"{self._count} requests are waiting already (gateway.max_waiting)", 1)
        self._count += 1
        self._waiting.set(self._count)
        try:
            yield
        finally:
            self._count -= 1
            self._waiting.set(self._count)

    def take(self, count: int, own: int) -> None:
        """Room for `count` bytes of a request that has `own` already.

        Raises:
            Failure: 429 there is none.
        """
        others = self._bytes - own  # who is alone always has room: that a picture is too large is said of the picture
        if others and self._bytes + count > self._most_bytes:
            raise Failure(429, f"the requests that are in hand hold {others:,} bytes (queue.max_bytes)", 1)
        self._bytes += count

    def change(self, by: int) -> None:
        """So many bytes more, or fewer, whether there is room or not: an answer that is made is sent."""
        self._bytes += by
