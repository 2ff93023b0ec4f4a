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

import cv2
import numpy as np
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

_GLINTS = 200  # one pixel in so many may be brighter than a picture's brightness: glints, hot pixels
# Detail lies between the first and three times as many pixels, slow changes of light above nine times as many.
_FINE = 3
_ROW_OF_FINE = np.ones((1, _FINE), np.float32)
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
        self.sizes: set[tuple[int, int]] = set()

    def passing(self, images: Iterable[Image]) -> Iterator[Image]:
        """The same images, each measured as it goes by."""
        for image in images:
            self.add(image)
            yield image

    def add(self, image: Image) -> None:
        """Measure one."""
        self._figures.append(measure(image))
        self.sizes.add((image.shape[1], image.shape[0]))

    def statistics(self, *, with_size: bool = True) -> ImageStatistics:
        """What was measured so far. `with_size` False leaves the size open though all had the same."""
        if not self._figures:
            return ImageStatistics()
        values = np.array([(one.brightness, one.blown_out, one.sharpness) for one in self._figures])
        width, height = next(iter(self.sizes)) if with_size and len(self.sizes) == 1 else (None, None)
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
        self._dark_level = next((level for level in range(256) if level / 255 >= self._dark), 256)
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
        # To count the pixels above a limit costs a quarter of measuring where they begin, which only a report needs.
        grey = _sample(image)
        if self._dark and _pixels_from(grey, self._dark_level) <= grey.size // _GLINTS:
            return f"dark: brightness {_brightness(grey):.3f}, at least {self._dark:.3f} wanted"
        if self._blown_out and (found := _blown_out(grey)) > self._blown_out:
            return f"blown_out: {found:.1%} of the pixels are white, at most {self._blown_out:.1%} wanted"
        if self._blurred and (found := _sharpness(grey)) < self._blurred:
            return f"blurred: sharpness {found:.4f}, at least {self._blurred:.4f} wanted"
        return ""


def measure(image: Image) -> Figures:
    """The figures of one picture: H×W×3, RGB, uint8."""
    grey = _sample(image)
    return Figures(_brightness(grey), _blown_out(grey), _sharpness(grey))


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


def _sample(image: Image) -> Image:
    """At most SIDE×SIDE pixels spread over the picture, in grey.

    Single pixels, not their means: a mean would take away from a large picture the grain that a small one keeps.
    """
    height, width = image.shape[:2]
    if max(height, width) > SIDE:
        image = cv2.resize(image, (min(width, SIDE), min(height, SIDE)), interpolation=cv2.INTER_NEAREST)
    grey: Image = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return grey


def _pixels_from(grey: Image, level: int) -> int:
    """How many pixels are of this level or above; 0 to 256."""
    return cv2.countNonZero(cv2.threshold(grey, level - 1, 1, cv2.THRESH_BINARY)[1])


def _brightness(grey: Image) -> float:
    counts = cv2.calcHist([grey], [0], None, [256], [0, 256]).ravel()  # OpenCV 4 gives a column
    brighter = np.cumsum(counts[::-1])[::-1]  # pixels of this level and above
    return int(np.flatnonzero(brighter > grey.size // _GLINTS)[-1]) / 255


def _blown_out(grey: Image) -> float:
    return _pixels_from(grey, WHITE) / grey.size


def _sharpness(grey: Image) -> float:
    """The strength of the detail of 3 to 9 pixels against that of all detail up to 27 pixels.

    Noise has little part in the first, so that a defocused picture is not sharp for being noisy. The second makes
    it independent of contrast, exposure, and a light that falls off to one side.

    Both are seen at every third pixel only, in the sums of squares of three by three: nine times less to go through.
    What these leave out, the detail within the squares, is what the pixels' power has more than that of the sums.
    """
    short = [max(0, _FINE - side) for side in grey.shape]
    if any(short):
        grey = cv2.copyMakeBorder(grey, 0, short[0], 0, short[1], cv2.BORDER_REPLICATE)
    height, width = (side // _FINE for side in grey.shape)
    grey = grey[: height * _FINE, : width * _FINE]
    rows = np.add(grey[::_FINE], grey[1::_FINE], dtype=np.uint16)
    rows += grey[2::_FINE]
    # Whole numbers, so that a flat picture has no detail at all.
    fine = cv2.transform(rows.astype(np.float32).reshape(height, width, _FINE), _ROW_OF_FINE)
    # Mirrored with the outermost squares doubled, so that a slope looks least like detail at the border.
    coarse, slow = (cv2.blur(fine, (side, side), borderType=cv2.BORDER_REFLECT) for side in (3, 9))
    squares, area = fine.size, _FINE**2
    within = cv2.norm(grey, cv2.NORM_L2SQR) / area - cv2.norm(fine, cv2.NORM_L2SQR) / area**2
    everything = max(0.0, within) + cv2.norm(fine, slow, cv2.NORM_L2SQR) / area**2
    detail = cv2.norm(fine, coarse, cv2.NORM_L2SQR) / area**2
    return math.sqrt(detail / squares) / (math.sqrt(everything / squares) + _QUIET)


def _chosen(setting: float | str, derived: float) -> float:
    """The limit in force; 0 where the check is off."""
    return derived if setting == AUTO else float(setting)


def _dark_limit(good: float | None) -> float:
    return BLACK_PICTURE if good is None else max(DARK_MARGIN * good, min(BLACK_PICTURE, DARKFIELD_MARGIN * good))


def _white_limit(good: float | None) -> float:
    return WHITE_PICTURE if good is None else good + BLOWN_OUT_MARGIN * (1 - good)
