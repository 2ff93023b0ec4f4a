"""Whether a picture may be trusted at all: not dark, blown out, blurred or of a wrong shape.

What is right is best known from the good photographs that the model learned from. `train` measures them, and each
check allows a generous margin beyond; without such figures only limits hold that no sensible picture breaks.
All figures are taken from at most 256×256 pixels spread over the picture, as many as the model sees, so that they
cost the same for every camera and do not change with its resolution.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from worker.settings import AUTO, WatchSettings
from worker.types import Image

SIDE = 256
"""Pixels a side of the sample."""

WHITE = 250
"""Grey level from which on a pixel counts as blown out: a JPEG's ringing keeps many from reaching 255."""

BLACK_PICTURE, WHITE_PICTURE = 0.05, 0.995
"""Limits without figures: the brightest pixels under 5 % of full scale; all but 0.5 % of the pixels blown out."""

DARK_MARGIN = 0.4  # of the brightness of the darkest good photographs
DARKFIELD_MARGIN = 0.8  # of the same, where they are hardly brighter than a black picture
BLUR_MARGIN = 0.7  # of the sharpness of the softest ones
BLOWN_OUT_MARGIN = 0.5  # of the way from the most blown-out good photograph to an all white one
ASPECT_MARGIN = 0.02

_BRIGHTEST = 0.005  # the share of pixels that may be brighter than a picture's brightness: glints, hot pixels
# Pixels, each three times the last: detail lies between the first two, slow changes of light above the third.
_FINE, _COARSE, _SLOW = 3, 9, 27
_QUIET = 1.0  # grey levels: keeps rounding noise in a flat picture from counting as detail
# That a picture is folded to before it is hashed: a pass at the speed of memory. A prime number, so that no picture's
# rows come to lie on each other.
_WORDS = 1021
_HASHED_SIDE = 64  # pixels of the sample that is hashed with them


@dataclass(frozen=True, slots=True)
class Figures:
    """What the checks look at.

    `brightness`: the 99.5th percentile of the grey levels, 0..1. `blown_out`: share of the pixels that are white,
    0..1. `sharpness`: strength of the fine detail against that of detail of all sizes, slow changes of light left out.
    """

    brightness: float
    blown_out: float
    sharpness: float


class ImageStatistics(BaseModel):
    """What the good photographs were like, as `bundle.json` keeps it; None is what nobody measured.

    `brightness` and `sharpness` are first percentiles and `blown_out` is the 99th, so that one odd photograph among
    hundreds does not switch a check off. `width` and `height` are there where all had the same.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    images: int = 0
    brightness: float | None = Field(None, ge=0, le=1)
    blown_out: float | None = Field(None, ge=0, le=1)
    sharpness: float | None = Field(None, ge=0, allow_inf_nan=False)
    width: int | None = Field(None, ge=1)
    height: int | None = Field(None, ge=1)


class Survey:
    """Measures good photographs as they pass on to the training."""

    def __init__(self) -> None:
        self._figures: list[Figures] = []
        self._sizes: set[tuple[int, int]] = set()

    def passing(self, images: Iterable[Image]) -> Iterator[Image]:
        """The same images, each measured as it goes by."""
        for image in images:
            self._figures.append(measure(image))
            self._sizes.add((image.shape[1], image.shape[0]))
            yield image

    def statistics(self, *, with_size: bool = True) -> ImageStatistics:
        """What was measured so far. `with_size` False leaves the size open though all had the same."""
        if not self._figures:
            return ImageStatistics()
        values = np.array([(one.brightness, one.blown_out, one.sharpness) for one in self._figures])
        width, height = next(iter(self._sizes)) if with_size and len(self._sizes) == 1 else (None, None)
        return ImageStatistics(
            images=len(values),
            brightness=round(float(np.percentile(values[:, 0], 1)), 6),
            blown_out=round(float(np.percentile(values[:, 1], 99)), 6),
            sharpness=round(float(np.percentile(values[:, 2], 1)), 6),
            width=width,
            height=height,
        )


class ImageChecks:
    """The checks in force for one model under these settings."""

    def __init__(self, settings: WatchSettings, statistics: ImageStatistics | None = None) -> None:
        good = statistics or ImageStatistics()
        self._dark = _chosen(settings.dark, _dark_limit(good.brightness))
        self._blown_out = _chosen(settings.blown_out, _white_limit(good.blown_out))
        self._blurred = _chosen(settings.blurred, BLUR_MARGIN * (good.sharpness or 0.0))
        self._exact = settings.exact_size
        self._good_size = (good.width, good.height) if settings.size == AUTO and good.width and good.height else None

    def problem(self, image: Image) -> str:
        """Why this picture may not be trusted: a stable word, a colon, and the figures; empty where it may.

        Args:
            image: H×W×3, RGB, uint8, of any size from 1×1 on.
        """
        return self._wrong_size(image.shape[1], image.shape[0]) or self._bad_picture(image)

    def _wrong_size(self, width: int, height: int) -> str:
        if self._exact and (width, height) != self._exact:
            return f"wrong_size: {width}×{height}, wanted {self._exact[0]}×{self._exact[1]}"
        if self._good_size:
            good_width, good_height = self._good_size
            if abs(width * good_height / (height * good_width) - 1) > ASPECT_MARGIN:
                return f"wrong_size: {width}×{height}, wanted the good photographs' shape, {good_width}×{good_height}"
        return ""

    def _bad_picture(self, image: Image) -> str:
        if not (self._dark or self._blown_out or self._blurred):
            return ""
        found = measure(image)
        if found.brightness < self._dark:
            return f"dark: brightness {found.brightness:.3f}, at least {self._dark:.3f} wanted"
        if self._blown_out and found.blown_out > self._blown_out:
            return f"blown_out: {found.blown_out:.1%} of the pixels are white, at most {self._blown_out:.1%} wanted"
        if found.sharpness < self._blurred:
            return f"blurred: sharpness {found.sharpness:.4f}, at least {self._blurred:.4f} wanted"
        return ""


def measure(image: Image) -> Figures:
    """The figures of one picture: H×W×3, RGB, uint8."""
    height, width = image.shape[:2]
    # Single pixels, not their means: a mean would take away from a large picture the grain that a small one keeps.
    sample = cv2.resize(image, (min(width, SIDE), min(height, SIDE)), interpolation=cv2.INTER_NEAREST)
    grey = cv2.cvtColor(sample, cv2.COLOR_RGB2GRAY)
    counts = cv2.calcHist([grey], [0], None, [256], [0, 256]).ravel()  # OpenCV 4 gives a column
    brighter = np.cumsum(counts[::-1])[::-1]  # pixels of this level and above
    brightest = int(np.flatnonzero(brighter > _BRIGHTEST * grey.size)[-1])
    return Figures(brightest / 255, float(brighter[WHITE] / grey.size), _sharpness(grey))


def picture_digest(image: Image) -> str:
    """Sixteen hex digits that differ for pictures that differ in any pixel, as those of a living sensor always do.

    The picture, H×W×3, RGB, uint8, is folded to column sums of its 64-bit words; a sample of the pixels is hashed with
    them, because what only moves may leave the sums as they are.
    """
    flat = np.ascontiguousarray(image).reshape(-1)
    folded = flat.size // (8 * _WORDS) * 8 * _WORDS
    sums = np.add.reduce(flat[:folded].view(np.uint64).reshape(-1, _WORDS), axis=0)
    height, width = image.shape[:2]
    sampled = min(width, _HASHED_SIDE), min(height, _HASHED_SIDE)
    sample = cv2.resize(image, sampled, interpolation=cv2.INTER_NEAREST)
    digest = hashlib.blake2b(f"{width}x{height}".encode(), digest_size=8)
    for part in (sums, flat[folded:], sample):
        digest.update(part.tobytes())
    return digest.hexdigest()


def _sharpness(grey: Image) -> float:
    """The spread of the detail of 3 to 9 pixels against that of all detail up to 27 pixels.

    Noise has little part in the first, so that a defocused picture is not sharp for being noisy. The second makes
    it independent of contrast, exposure, and a light that falls off to one side.

    Each sum over a square is that of nine smaller squares. The rows stand in one line, with their borders, so that to
    add neighbours is to add the line to itself, moved: integers of 16 bits as long as they hold the sums.
    """
    height, width = grey.shape
    edge = _SLOW // 2
    row = width + 2 * edge
    bordered = cv2.copyMakeBorder(grey, edge, edge + 1, edge, edge, cv2.BORDER_REFLECT_101)
    line = bordered.astype(np.uint16).reshape(-1)
    fine = _with_next_two(_with_next_two(line, row), 1)
    coarse = _with_next_two(_with_next_two(fine, _FINE * row), _FINE)
    slow = _with_next_two(_with_next_two(coarse, _COARSE * row).astype(np.float32), _COARSE)

    def around_pixels(sums: npt.NDArray[Any], side: int) -> npt.NDArray[Any]:
        """H rows of the squares whose middles are the picture's pixels; a sum stands where its square begins."""
        first = (_SLOW - side) // 2 * (row + 1)
        return sums[first : first + height * row].reshape(height, row)

    detail = around_pixels(fine, _FINE) * np.uint16(_COARSE**2 // _FINE**2)
    detail -= around_pixels(coarse, _COARSE)  # wraps round, and is right as a signed number
    everything = around_pixels(line, 1) * np.float32(_SLOW**2)
    everything -= around_pixels(slow, _SLOW)
    fine_spread = _spread(detail.view(np.int16)[:, :width]) / _COARSE**2
    return fine_spread / (_spread(everything[:, :width]) / _SLOW**2 + _QUIET)


def _with_next_two(line: npt.NDArray[Any], step: int) -> npt.NDArray[Any]:
    """Each number with the two that follow it at this step added."""
    sums: npt.NDArray[Any] = line[: -2 * step] + line[step:-step]
    sums += line[2 * step :]
    return sums


def _spread(values: npt.NDArray[Any]) -> float:
    """The standard deviation. The numbers are whole, so that both sums are exact, and no second pass is needed."""
    mean = cv2.sumElems(values)[0] / values.size
    return math.sqrt(max(0.0, cv2.norm(values, cv2.NORM_L2SQR) / values.size - mean**2))


def _chosen(setting: float | str, derived: float) -> float:
    """The limit in force; 0 where the check is off."""
    return derived if setting == AUTO else float(setting)


def _dark_limit(good: float | None) -> float:
    return BLACK_PICTURE if good is None else max(DARK_MARGIN * good, min(BLACK_PICTURE, DARKFIELD_MARGIN * good))


def _white_limit(good: float | None) -> float:
    return WHITE_PICTURE if good is None else good + BLOWN_OUT_MARGIN * (1 - good)
