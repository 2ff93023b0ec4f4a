"""Work that goes on beside its reader, in the order in which it was asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import TypeVar

Item = TypeVar("Item")
Done = TypeVar("Done")


def in_order(start: Callable[[Item], Future[Done]], items: Iterable[Item], ahead: int) -> Iterator[tuple[Item, Done]]:
    """Each item with its outcome; the next `ahead` are always started, and no more is held, however many come.

    What is done is given before more is asked for. Where the items end with an error, it is raised once all that came
    before it is given.
    """
    waiting = iter(items)
    started: deque[tuple[Item, Future[Done]]] = deque()
    failure: Exception | None = None
    is_over = False
    try:
        while True:
            while not is_over and len(started) < ahead:
                try:
                    item = next(waiting)
                except StopIteration:
                    is_over = True
                except Exception as error:
                    failure, is_over = error, True
                else:
                    started.append((item, start(item)))
            if not started:
                break
            item, future = started.popleft()
            yield item, future.result()
        if failure is not None:
            raise failure
    finally:
        for _, future in started:
            future.cancel()


def batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """As many at a time; fewer at the end, and where the items end with an error, which is raised after them."""
    batch: list[Item] = []
    try:
        for item in items:
            batch.append(item)
            if len(batch) == size:
                yield batch
                batch = []
    except Exception:
        if batch:
            yield batch
        raise
    if batch:
        yield batch
