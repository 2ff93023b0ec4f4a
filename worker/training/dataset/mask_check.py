"""Whether a mask fits its image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from worker.errors import SourceError
from worker.settings import LimitSettings
from worker.training.data import read_image
from worker.training.dataset.masks import Mask
from worker.training.dataset.samples import Part, Sample

_IGNORED = 255  # a label that PaddleX does not count
_NO_LABELS: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class MaskFault:
    """What is wrong. `serious` is False where a model can still be judged by the image."""

    what: str
    serious: bool


def check_mask(
    sample: Sample, shape: tuple[int, ...], limits: LimitSettings
) -> tuple[MaskFault | None, frozenset[int]]:
    """What is wrong with a sample's mask, and the labels in it as PaddleX reads them (the file's last channel in RGB).

    Args:
        shape: H, W of its image.
    """
    if sample.mask is None:
        missing = MaskFault("a defect without a mask: its place cannot be judged", serious=False)
        bare = not sample.is_good and sample.part is Part.TEST
        return (missing if bare else None), frozenset({0})
    try:
        mask = read_image(sample.mask, limits)
    except SourceError as error:
        return MaskFault(f"its mask cannot be read: {error}", serious=True), _NO_LABELS
    labels = frozenset(np.flatnonzero(np.bincount(mask[:, :, 2].ravel(), minlength=256)).tolist()) - {_IGNORED}
    return _fault(sample, shape, np.asarray(mask.any(axis=2)), _shades(mask.max(axis=2))), labels


def _shades(mask: npt.NDArray[np.uint8]) -> int:
    return int(np.count_nonzero(np.bincount(mask.ravel(), minlength=256)))


def _fault(sample: Sample, shape: tuple[int, ...], marked: Mask, shades: int) -> MaskFault | None:
    if marked.shape != shape:
        (height, width), (image_height, image_width) = marked.shape, shape
        return MaskFault(f"its mask has {width}×{height} pixels, the image {image_width}×{image_height}", serious=True)
    if sample.is_good and marked.any():
        return MaskFault("a good image whose mask marks an anomaly", serious=True)
    if not sample.is_good and not marked.any():
        return MaskFault("a defect whose mask is black all over", serious=True)
    if shades > 2:
        return MaskFault(f"its mask has {shades} shades; all but black counts as anomaly", serious=False)
    return None
