"""What every engine's output is held to."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from worker.errors import EngineError


def checked_maps(maps: Any, count: int, size: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """The output as count×H×W float32; `size` is (H, W) of the input.

    Raises:
        EngineError: it is not one map a frame.
    """
    if maps.size != count * size[0] * size[1]:
        raise EngineError(f"the model gave {maps.shape} for {count} frames of {size[0]}×{size[1]}: no STFPM export?")
    return np.asarray(maps, np.float32).reshape(count, *size)
