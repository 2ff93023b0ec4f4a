"""Masks at the size of the model's maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from worker.errors import SourceError
from worker.settings import LimitSettings
from worker.training.dataset.masks import Mask, read_mask


def mask_of(image: Path, mask: Path, image_size: tuple[int, int], limits: LimitSettings) -> Mask:
    """The mask of an image, H×W bool like it.

    Raises:
        SourceError: it cannot be read, or is of another size than the image.
    """
    found = read_mask(mask, limits)
    if found.shape != image_size:
        sizes = f"{found.shape[1]}×{found.shape[0]} pixels, its image {image} {image_size[1]}×{image_size[0]}"
        raise SourceError(f"{mask}: the mask has {sizes}; `line-worker dataset check` lists all that do not fit")
    return found


def at_size(mask: Mask, size: tuple[int, int]) -> Mask:
    """The mask at the size (h, w) of the maps.

    A pixel of the result is anomalous when any of the pixels that fall into it is, so that no region vanishes however
    small it is; where the result is larger, it is that of the nearest pixel. Regions nearer to each other than a pixel
    of the result grow together.
    """
    rows, columns = (_starts(wanted, there) for wanted, there in zip(size, mask.shape, strict=True))
    return np.asarray(np.logical_or.reduceat(np.logical_or.reduceat(mask, rows, axis=0), columns, axis=1), bool)


def _starts(wanted: int, there: int) -> npt.NDArray[np.int64]:
    """Where, of `there` pixels, each of the `wanted` ones begins: a pixel falls where its centre lies."""
    twice = 2 * np.arange(wanted, dtype=np.int64) * there
    if wanted > there:
        return np.asarray((twice + there) // (2 * wanted), np.int64)
    return np.asarray(-((wanted - twice) // (2 * wanted)), np.int64)
