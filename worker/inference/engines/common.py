"""What engines share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from worker.errors import EngineError

Maps = npt.NDArray[np.float32]


class Synchronous(ABC):
    """An engine whose device is at work during the call only."""

    @abstractmethod
    def run(self, batch: npt.NDArray[Any]) -> Maps:
        """See `Engine.run`."""

    def start(self, batch: npt.NDArray[Any]) -> Callable[[], Maps]:
        """See `Engine.start`."""
        maps = self.run(batch)
        return lambda: maps


def checked_maps(maps: Any, count: int, size: tuple[int, ...]) -> Maps:
    """The output as count×H×W float32; `size` is (H, W) of the input.

    Raises:
        EngineError: it is not one map a frame.
    """
    if maps.size != count * size[0] * size[1]:
        raise EngineError(f"the model gave {maps.shape} for {count} frames of {size[0]}×{size[1]}: no STFPM export?")
    return np.asarray(maps, np.float32).reshape(count, *size)
