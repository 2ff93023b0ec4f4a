"""What the three stages of a worker hand to each other, and the frames it has in hand."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from worker.stream.commit import Dead
from worker.types import Frame, Result

Item = TypeVar("Item")
_PATIENCE_S = 0.5  # how long a stage waits before it stamps its progress and looks again


@dataclass(slots=True)
class Prepared:
    """A frame ready for the device.

    `input` is 3×h×w float32; `digest` is that of its pixels, empty where nobody asks for it; `ready_at` is
    monotonic seconds.
    """

    frame: Frame
    input: npt.NDArray[np.float32]
    image_size: tuple[int, int]
    digest: str
    ready_at: float
    timings_ms: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Inferred:
    """A prepared frame with its anomaly map, H×W float32."""

    prepared: Prepared
    anomaly_map: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Judged:
    """A frame with what is said of it, unless its deadline passes before that is committed."""

    frame: Frame
    result: Result


Ready = Prepared | Judged | Dead
"""What the reader hands on."""

Ending = Inferred | Judged | Dead
"""What the publisher brings to its end."""


class HandOver(Generic[Item]):
    """A bounded queue between two stages. A stage that waits at it goes on stamping its progress."""

    def __init__(self, size: int) -> None:
        self._queue: queue.Queue[Item] = queue.Queue(size)
        self.closed = threading.Event()
        self.broken = threading.Event()

    def put(self, item: Item, stamp: Callable[[], None]) -> None:
        """Hand an item on, waiting for room; once it is `broken` nobody takes any, and the item is let go."""
        while not self.broken.is_set():
            try:
                self._queue.put(item, timeout=_PATIENCE_S)
            except queue.Full:
                stamp()
            else:
                return

    def get(self, timeout_s: float = _PATIENCE_S) -> Item | None:
        """The next item, or None when none came in time."""
        try:
            return self._queue.get(timeout=timeout_s) if timeout_s > 0 else self._queue.get_nowait()
        except queue.Empty:
            return None

    def __len__(self) -> int:
        return self._queue.qsize()

    @property
    def drained(self) -> bool:
        """Whether nothing is in it and nothing will come."""
        return self.closed.is_set() and self._queue.empty()


class InHand:
    """The frames that this worker has read and not ended: bounds what it takes, and is what it renews."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._ids: set[str] = set()
        self._changed = threading.Condition()

    def add(self, *frame_ids: str) -> None:
        """Take frames in hand."""
        with self._changed:
            self._ids.update(frame_ids)

    def remove(self, *frame_ids: str) -> None:
        """Let frames go, all at once, so that the reader reads as many anew: they are ended, or left to be delivered
        again."""
        with self._changed:
            self._ids.difference_update(frame_ids)
            self._changed.notify_all()

    def ids(self) -> list[str]:
        """What is in hand now."""
        with self._changed:
            return list(self._ids)

    @property
    def is_well_filled(self) -> bool:
        """Whether it has been filled by half or more: frames wait here, and perhaps at Redis too."""
        return 2 * len(self._ids) >= self._capacity

    def wait_for_room(self, timeout_s: float = _PATIENCE_S) -> int:
        """How many more may be taken; waits a while for the first place."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._ids) < self._capacity, timeout_s)
            return self._capacity - len(self._ids)

    def wait_until_empty(self, timeout_s: float = _PATIENCE_S) -> bool:
        """Whether nothing is in hand; waits a while for it."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._ids, timeout_s)
