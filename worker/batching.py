"""Dynamic batching: a batch takes what is ready, and waits only for frames that are on their way already.

To wait for frames that may come would cost every frame that wait. While the device is at work frames gather by
themselves, so that batches grow with the load.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Item = TypeVar("Item")

_LOOK_S = 0.002  # how often it is asked whether there is still something to wait for


def collect(
    get: Callable[[float], Item | None],
    on_their_way: Callable[[], bool],
    max_batch: int,
    max_wait_s: float,
    idle_s: float,
    clock: Callable[[], float],
) -> list[Item]:
    """The next batch, in order of arrival; empty when nothing came for `idle_s`.

    Args:
        get: waits at most so many seconds for one item; None when none came.
        on_their_way: whether items are being made ready.
        max_wait_s: for those, counted from the first item; 0 takes only what is there already.
        clock: monotonic seconds.
    """
    first = get(idle_s)
    if first is None:
        return []
    batch = [first]
    deadline = clock() + max_wait_s
    while len(batch) < max_batch:
        item = get(0.0)
        left = deadline - clock()
        if item is None and left > 0 and on_their_way():
            item = get(min(left, _LOOK_S))
            if item is None:
                continue
        if item is None:
            break
        batch.append(item)
    return batch
