"""What a prediction looks like: the mask as PaddleX draws it, and for people the picture with its defects on it."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from worker.types import Image, Region

MASK_COLOURS = {0: (128, 0, 0), 255: (0, 0, 32)}
"""RGB of normal and anomalous pixels: entries 0 and 255 of the palette that PaddleX gives its masks."""

_COLOURS = np.array([MASK_COLOURS[0]] + 255 * [MASK_COLOURS[255]], np.uint8)[:, None]
_JPEG_QUALITY = 75  # what Pillow takes, with which PaddleX writes
_QUALITY_OF = {
    ".jpg": cv2.IMWRITE_JPEG_QUALITY,
    ".jpeg": cv2.IMWRITE_JPEG_QUALITY,
    ".webp": cv2.IMWRITE_WEBP_QUALITY,
}
_FOUND = (255, 64, 160)  # RGB
_OPAQUE = 0.65
_FAINTEST = 0.25  # of the threshold: where the colours of a heatmap begin
_FULL = 2.0  # of the threshold: where they end


def mask_palette() -> list[int]:
    """PaddleX's palette for masks, 256 × RGB in one list: the bits of a value's digits to base 8, spread over the
    colours from the highest bit down, the list beginning with value 1."""
    palette = [0] * (3 * 256)
    for index in range(256):
        rest, bit = index + 1, 7
        while rest:
            for channel in range(3):
                palette[3 * index + channel] |= (rest >> channel & 1) << bit
            rest, bit = rest >> 3, bit - 1
    return palette


def mask_picture(label_map: npt.NDArray[np.uint8]) -> Image:
    """The labelMap, H×W uint8 of 0 and 255, in PaddleX's two colours: H×W×3, RGB, uint8."""
    return np.asarray(cv2.applyColorMap(label_map, _COLOURS), np.uint8)


def mask_jpeg(label_map: npt.NDArray[np.uint8]) -> bytes:
    """The same as a JPEG; a good part's, which nearly all are, is encoded once."""
    if not cv2.countNonZero(label_map):
        return _empty_jpeg(label_map.shape)
    return encoded(mask_picture(label_map), ".jpg")


def overlay(image: Image, label_map: npt.NDArray[np.uint8], regions: tuple[Region, ...]) -> Image:
    """The picture with the outline of what is anomalous, and a box around each region.

    Args:
        image: H×W×3, RGB, uint8.
        label_map: h×w uint8, 255 = anomaly.
        regions: in pixels of the image.
    """
    drawn = image.copy()
    width = max(1, round(max(image.shape[:2]) / 400))
    size = image.shape[1], image.shape[0]
    mask = cv2.resize(label_map, size, interpolation=cv2.INTER_NEAREST)
    outline(drawn, mask, _FOUND, width)
    for region in regions:
        corner = region.x + region.w - 1, region.y + region.h - 1
        cv2.rectangle(drawn, (region.x, region.y), corner, _FOUND, width)
    return drawn


def outline(image: Image, mask: npt.NDArray[np.uint8], colour: tuple[int, int, int], width: int = 1) -> None:
    """Draw the edges of what is not 0 in the mask, H×W uint8, into the picture, H×W×3."""
    contours, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(image, contours, -1, colour, width)


def heatmap(image: Image, anomaly_map: npt.NDArray[np.float32], threshold: float) -> Image:
    """The picture in grey under colours for the anomaly map, by its logarithm: from a quarter of the threshold, where
    they begin, to twice the threshold.

    Args:
        image: H×W×3, RGB, uint8.
        anomaly_map: h×w float32, opened.
    """
    low, high = max(_FAINTEST * threshold, 1e-12), max(_FULL * threshold, 1e-11)
    heat = logarithmic(np.nan_to_num(anomaly_map), low, high)
    size = image.shape[1], image.shape[0]
    return coloured(image, np.asarray(cv2.resize(heat, size, interpolation=cv2.INTER_LINEAR), np.float32))


def logarithmic(values: npt.NDArray[np.float32], low: float, high: float) -> npt.NDArray[np.float32]:
    """How far each value is from `low` (0) to `high` (1) by its logarithm, of the same shape; beyond them 0 and 1."""
    part = np.log(np.maximum(values, low) / low) / np.log(high / low)
    return np.asarray(np.clip(part, 0, 1), np.float32)


def coloured(image: Image, heat: npt.NDArray[np.float32]) -> Image:
    """Colours over the picture in grey, the stronger the more opaque.

    Args:
        image: H×W×3, RGB, uint8.
        heat: H×W float32, 0 (no colour) to 1.
    """
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    colours = cv2.applyColorMap((heat * 255).astype(np.uint8), cv2.COLORMAP_TURBO)[..., ::-1]
    opacity = (_OPAQUE * np.sqrt(heat))[..., None]
    return np.asarray(grey * (1 - opacity) + colours * opacity, np.uint8)


def encoded(image: Image, suffix: str, quality: int = _JPEG_QUALITY) -> bytes:
    """A picture, H×W×3 RGB uint8, as a file's bytes.

    Args:
        suffix: a file name's, as in `.png`.
        quality: of a JPEG or WebP, 0 to 100.

    Raises:
        ValueError: there is no such format here.
    """
    setting = _QUALITY_OF.get(suffix.lower())  # OpenCV says of any other that it is ignored
    options = [] if setting is None else [setting, quality]
    try:
        done, data = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    except cv2.error as error:
        raise ValueError(f"no pictures can be written as {suffix!r}") from error
    if not done:
        raise ValueError(f"no pictures can be written as {suffix!r}")
    return data.tobytes()


@lru_cache(maxsize=16)
def _empty_jpeg(shape: tuple[int, ...]) -> bytes:
    return encoded(mask_picture(np.zeros(shape, np.uint8)), ".jpg")
