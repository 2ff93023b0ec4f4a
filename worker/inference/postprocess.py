"""From the anomaly map to score, labelMap, regions: they are one thing and cannot disagree (DESIGN §4).

PaddleX thresholds the map at 0.01 and opens the mask with a disk of radius 4. Grey opening commutes with
thresholding, so the map is opened once, and every threshold of the opened map is PaddleX's mask.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from worker.types import Prediction, Region

OPENING_RADIUS = 4
MAX_REGIONS = 64


def _disk(radius: int) -> npt.NDArray[np.uint8]:
    """The pixels within `radius` of the centre, as skimage.morphology.disk has them."""
    axis = np.arange(-radius, radius + 1)
    return (axis[:, None] ** 2 + axis[None, :] ** 2 <= radius**2).astype(np.uint8)


_FOOTPRINT = _disk(OPENING_RADIUS)

# Filters are made for photographs: to choose one for each row takes four times as long as all else, and a mask becomes
# no smaller by it. OpenCV below 4.12 knows no such choice, and leaves it out.
_PNG_FILTER, _PNG_FILTER_NONE = 19, 8
_PNG_PARAMETERS = [cv2.IMWRITE_PNG_COMPRESSION, 1, _PNG_FILTER, _PNG_FILTER_NONE]


def eroded(anomaly_map: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The least value under a disk of radius 4 around each pixel of an H×W float32 map: half of its opening."""
    return np.asarray(cv2.erode(anomaly_map, _FOOTPRINT), np.float32)


def opened(eroded_map: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The grey opening of the map that was eroded, H×W float32; equals skimage.morphology.opening."""
    return np.asarray(cv2.dilate(eroded_map, _FOOTPRINT), np.float32)


def postprocess(anomaly_map: npt.NDArray[np.float32], threshold: float, image_size: tuple[int, int]) -> Prediction:
    """What the map says at this threshold.

    Args:
        anomaly_map: H×W float32.
        threshold: of the score.
        image_size: (H, W) of the camera's image, in whose pixels the regions are given.
    """
    label_map = np.zeros(anomaly_map.shape, np.uint8)
    if not np.isfinite(anomaly_map).all():
        return Prediction(float("nan"), threshold, label_map, (), image_size)
    # The comparison is made in float32 on both sides, so that verdict and labelMap cannot fall apart.
    limit = np.float32(threshold)
    low = eroded(anomaly_map)
    score = low.max()  # and that of the opened map, whose values are all taken from this one
    if not score > limit:
        return Prediction(float(score), float(limit), label_map, (), image_size)
    left, top, right, bottom = _surroundings(low > limit)
    grey = opened(low[top:bottom, left:right])
    inside = label_map[top:bottom, left:right]
    inside[grey > limit] = 255
    scale = image_size[0] / anomaly_map.shape[0], image_size[1] / anomaly_map.shape[1]
    return Prediction(float(score), float(limit), label_map, _regions(grey, inside, (top, left), scale), image_size)


def encode_label_map(label_map: npt.NDArray[np.uint8]) -> bytes:
    """The labelMap, H×W uint8, as a single-channel PNG."""
    return _png(label_map) if cv2.countNonZero(label_map) else _empty_png(label_map.shape)


@lru_cache(maxsize=16)
def _empty_png(shape: tuple[int, ...]) -> bytes:
    """What nearly every frame of a good line has: the same each time."""
    return _png(np.zeros(shape, np.uint8))


def _png(label_map: npt.NDArray[np.uint8]) -> bytes:
    done, data = cv2.imencode(".png", label_map, _PNG_PARAMETERS)
    assert done, "OpenCV cannot write a PNG"
    return data.tobytes()


def _surroundings(above: npt.NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """The box (left, top, right, bottom) outside of which the opening cannot exceed what its first half does not."""
    x, y, w, h = cv2.boundingRect(above.view(np.uint8))
    return max(0, x - OPENING_RADIUS), max(0, y - OPENING_RADIUS), x + w + OPENING_RADIUS, y + h + OPENING_RADIUS


def _regions(
    grey: npt.NDArray[np.float32],
    label_map: npt.NDArray[np.uint8],
    corner: tuple[int, int],
    scale: tuple[float, float],
) -> tuple[Region, ...]:
    """Connected anomalies in image pixels, highest score first, at most MAX_REGIONS.

    Args:
        grey, label_map: h×w float32 and uint8, a part of the whole ones.
        corner: (y, x) where the part begins.
        scale: (y, x), image pixels a pixel of the map.
    """
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(label_map, connectivity=8)
    regions = []
    for label in range(1, count):
        x, y, w, h, area = (int(value) for value in boxes[label])
        inside = labels[y : y + h, x : x + w] == label
        score = float(grey[y : y + h, x : x + w][inside].max())
        left, right = (round(edge * scale[1]) for edge in (corner[1] + x, corner[1] + x + w))
        top, bottom = (round(edge * scale[0]) for edge in (corner[0] + y, corner[0] + y + h))
        size = max(1, round(area * scale[1] * scale[0]))
        regions.append(Region(left, top, max(1, right - left), max(1, bottom - top), size, score))
    return tuple(sorted(regions, key=lambda region: -region.score)[:MAX_REGIONS])
