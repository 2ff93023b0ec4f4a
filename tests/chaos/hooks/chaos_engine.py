"""Engines for the chaos suite: a cheap one for volume, and traps for frames that must kill, hang or fail the device.

A trap is a picture of one colour, which no camera of the suite shows otherwise; the engine knows it again by its
channels' means, so that it works behind JPEG, resizing and normalisation.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from worker.errors import EngineError
from worker.inference.preprocess import normalised
from worker.types import Image

Batch = npt.NDArray[np.float32]

# RGB, as pictures.py paints them: the first kills its process, the second fails, the third hangs the device.
KILLER, FAILER, HANGER = (255, 0, 255), (0, 255, 255), (255, 255, 0)


class CheapEngine:
    """In the place of the paddle engine: the anomaly map is how bright each pixel is, which costs next to nothing."""

    name, precision = "cheap", "fp32"

    def __init__(self, bundle: Any, device: Any, precision: str) -> None:
        self._transforms = bundle.transforms

    def encode(self, image: Image) -> Batch:
        return normalised(image, self._transforms)

    def start(self, batch: Batch) -> Callable[[], Batch]:
        maps = self.run(batch)
        return lambda: maps

    def run(self, batch: Batch) -> Batch:
        return np.clip(batch.mean(axis=1), 0, 1).astype(np.float32)


def with_traps(engine: type) -> type:
    """The engine with a look at what it is given first."""

    class Trapped(engine):  # type: ignore[misc]
        def run(self, batch: Batch) -> Batch:
            for image in batch:
                _spring(image)
            return super().run(batch)

    return Trapped


def _spring(image: Batch) -> None:
    colour = tuple(255 if mean > 0.5 else 0 if mean < -0.5 else -1 for mean in image.mean(axis=(1, 2)))
    libc = ctypes.CDLL(None)
    if colour == KILLER:
        libc.abort()
    elif colour == HANGER:
        libc.pause()  # comes back only with a signal's handler, which the worker has for SIGTERM
        libc.pause()
    elif colour == FAILER:
        raise EngineError("a frame that no device can work on")
