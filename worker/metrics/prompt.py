"""Reading from Redis within the time of a scrape."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from worker.errors import StreamUnavailable

PATIENCE_S = 6.0
"""How long a scrape waits for Redis: more than `redis.timeout_s`, and less than Prometheus and `health` wait (8 s)."""

T = TypeVar("T")


class Promptly(Generic[T]):
    """Reads in a thread of its own.

    Where Sentinels or a Cluster's nodes are silent each is waited for, and a scrape that is given up meanwhile would
    lack also what has nothing to do with Redis, such as which workers are up.
    """

    def __init__(self, read: Callable[[], T]) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._under_way: Future[T] | None = None

    def __call__(self) -> T:
        """What is read, by what is under way already if there is any.

        Raises:
            StreamUnavailable: it takes too long; it goes on.
        """
        with self._lock:
            if self._under_way is None or self._under_way.done():
                self._under_way = Future()
                threading.Thread(target=self._fulfil, args=(self._under_way,), name="metrics-read", daemon=True).start()
            under_way = self._under_way
        try:
            return under_way.result(PATIENCE_S)
        except TimeoutError as error:
            raise StreamUnavailable(f"Redis has not answered for {PATIENCE_S:g} s") from error

    def _fulfil(self, promise: Future[T]) -> None:
        try:
            promise.set_result(self._read())
        except Exception as error:  # whatever it is, it belongs to who waits
            promise.set_exception(error)
