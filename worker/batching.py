"""Dynamic batching: a batch closes when it is full, or a set time after its first frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Item = TypeVar("Item")


def collect(
    get: Callable[[float], Item | None],
    max_batch: int,
    max_wait_s: float,
    idle_s: float,
    clock: Callable[[], float],
) -> list[Item]:
    """The next batch, in order of arrival; empty when nothing came for `idle_s`.

    Args:
        get: waits at most so many seconds for one item; None when none came.
        max_wait_s: counted from the first item; 0 takes only what is there already.
        clock: monotonic seconds.
    """
    first = get(idle_s)
    if first is None:
        return []
    batch = [first]
    deadline = clock() + max_wait_s
    while len(batch) < max_batch:
        item = get(max(0.0, deadline - clock()))
        if item is None:
            break
        batch.append(item)
    return batch
