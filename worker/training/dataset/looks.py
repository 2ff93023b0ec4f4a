"""What is kept of each image once it was read: enough to tell whether two are one, and which is unlike the rest."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from worker.types import Image

SIDE = 128
"""Pixels a side of the small picture, whatever the image's shape."""

CHROMA_SIDE = 16
FIGURES = (
    *("brightness",) * 5,
    *("colour",) * 4,
    *("detail",) * 9,
    "direction",
    "shape",
)
"""What each of a look's figures is about."""

FLOORS = np.array([0.5] * 5 + [0.5, 0.5, 0.05, 0.05] + [0.03] * 11, np.float32)
"""Differences of a figure that are nothing, however much alike the images are."""

_COLOUR = 4  # grey levels between channels that make a colour, beyond what a JPEG does to grey

Grey = npt.NDArray[np.uint8]
Plane = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Look:
    """An image, remembered in 1.2 KB. `digest` is the same for the same pixels; `chroma` is 16×16×2 float16, Lab's a
    and b; `figures` are F float32, as FIGURES names them."""

    height: int
    width: int
    is_colour: bool
    digest: bytes
    chroma: npt.NDArray[np.float16]
    figures: Plane


def look_at(image: Image) -> tuple[Look, Grey]:
    """Remember an H×W×3 RGB uint8 image of any size: its look, and its grey levels as SIDE×SIDE uint8."""
    small = _small(image)
    lab = cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)
    chroma = cv2.resize(lab[:, :, 1:], (CHROMA_SIDE, CHROMA_SIDE), interpolation=cv2.INTER_AREA)
    height, width = image.shape[:2]
    red, green, blue = cv2.split(small)
    spread = cv2.max(cv2.max(red, green), blue) - cv2.min(cv2.min(red, green), blue)
    return Look(
        height,
        width,
        bool(np.percentile(spread, 99) > _COLOUR),
        _digest(image),
        np.asarray(chroma, np.float16),
        _figures(lab, width / height),
    ), _grey(small)


def grey_of(image: Image) -> Grey:
    """The grey levels of an H×W×3 RGB uint8 image of any size as SIDE×SIDE uint8."""
    return _grey(_small(image))


def _small(image: Image) -> Image:
    return np.asarray(cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def _grey(small: Image) -> Grey:
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)


def band(plane: Plane, fine: float, coarse: float) -> Plane:
    """What is coarser than `fine` and finer than `coarse`, both standard deviations in pixels."""
    return np.asarray(cv2.GaussianBlur(plane, (0, 0), fine) - cv2.GaussianBlur(plane, (0, 0), coarse), np.float32)


def _digest(image: Image) -> bytes:
    digest = hashlib.blake2b(repr(image.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(image).data)
    return digest.digest()


def _figures(lab: Plane, aspect: float) -> Plane:
    """Logarithms for what multiplies, so that twice as much counts as half."""
    light = np.ascontiguousarray(lab[:, :, 0])
    means, spreads = (values.ravel()[1:] for values in cv2.meanStdDev(lab))
    colour = [*means, *np.log(spreads + 0.5)]
    along, across = (np.abs(np.diff(light, axis=axis)).mean() + 0.05 for axis in (1, 0))
    detail = [figure for scale in (1, 2, 4) for figure in _detail(light, scale)]
    values = [*np.percentile(light, (2, 25, 50, 75, 98)), *colour, *detail, np.log(along / across), np.log(aspect)]
    return np.array(values, np.float32)


def _detail(light: Plane, scale: float) -> list[float]:
    """How strong it is at this scale in the mean and in its strongest places, and how far these stand out."""
    strength = np.abs(band(light, 0.7 * scale, 1.4 * scale))
    strongest, usual = np.percentile(strength, 99.7), np.median(strength)
    return [
        float(np.log(strength.mean() + 0.02)),
        float(np.log(strongest + 0.05)),
        float(np.log(strongest / (usual + 0.02) + 0.5)),
    ]
