"""Work that goes on beside its reader, in the order in which it was asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Done = TypeVar("Done")


def in_order(start: Callable[[Item], Future[Done]], items: Iterable[Item], ahead: int) -> Iterator[tuple[Item, Done]]:
    """Each item with its outcome; the next `ahead` are always started, and no more is held, however many come."""
    waiting = iter(items)
    started = deque((item, start(item)) for item in islice(waiting, ahead))
    try:
        while started:
            item, future = started.popleft()
            done = future.result()
            started.extend((item, start(item)) for item in islice(waiting, 1))
            yield item, done
    finally:
        for _, future in started:
            future.cancel()


def batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """As many at a time; fewer at the end."""
    waiting = iter(items)
    while batch := list(islice(waiting, size)):
        yield batch
