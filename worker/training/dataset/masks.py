"""A mask says where an image shows an anomaly: every pixel that is not black."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from worker.settings import LimitSettings
from worker.training.data import read_image

Mask = npt.NDArray[np.bool_]


def read_mask(path: Path, limits: LimitSettings) -> Mask:
    """Where the anomaly is, in a mask of 0 and 1, of 0 and 255, or with a palette whose first colour is black.

    MVTec AD marks an anomaly with 255, PaddleX with 1 (255 is "ignore" to it, and its counts leave it out, yet its
    own conversion of MVTec AD keeps 255): so what is not 0 in any channel is an anomaly.

    Returns:
        H×W bool.

    Raises:
        SourceError: it cannot be read or decoded.
    """
    return np.asarray(read_image(path, limits).any(axis=2), np.bool_)
