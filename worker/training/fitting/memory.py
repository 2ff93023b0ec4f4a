"""The teacher's features of each image, computed once: images are not augmented, so they stay the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from worker.training.data import Samples
from worker.training.fitting.fitter import Features, Fitter, Inputs

MOST_BYTES = 1 << 30
"""Features kept at most; those of further images are computed each time. 0.9 MB an image at 256×256."""


class TeacherMemory:
    """Kept normalised as float16, with an error far below the distances that are learned."""

    def __init__(self, fitter: Fitter, samples: Samples, most_bytes: int = MOST_BYTES) -> None:
        self._fitter = fitter
        self._samples = samples
        self._room = most_bytes
        self._known: dict[int, list[npt.NDArray[np.float16]]] = {}

    def batch(self, numbers: Sequence[int]) -> tuple[Inputs, Features]:
        """Inputs n×3×H×W of the images with these numbers, and the teacher's features of each."""
        inputs = self._samples.batch(numbers)
        new = [place for place, number in enumerate(numbers) if number not in self._known]
        rows: dict[int, list[npt.NDArray[np.float16]]] = {}
        for place in new:  # one by one: what an image gives must not depend on those that it is asked with
            layers = [layer[0] for layer in self._fitter.features(inputs[place : place + 1])]
            rows[numbers[place]] = layers
            size = sum(layer.nbytes for layer in layers)
            if size <= self._room:
                self._room -= size
                self._known[numbers[place]] = layers
        found = [self._known.get(number) or rows[number] for number in numbers]
        return inputs, [np.stack(layer) for layer in zip(*found, strict=True)]
