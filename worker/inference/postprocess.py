"""From the anomaly map to score, labelMap, regions: they are one thing and cannot disagree (DESIGN §4).

PaddleX thresholds the map at 0.01 and opens the mask with a disk of radius 4. Grey opening commutes with
thresholding, so the map is opened once, and every threshold of the opened map is PaddleX's mask.
"""

from __future__ import annotations

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


def opened(anomaly_map: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Grey opening of an H×W float32 map with a disk of radius 4; equals skimage.morphology.opening."""
    return np.asarray(cv2.morphologyEx(anomaly_map, cv2.MORPH_OPEN, _FOOTPRINT), np.float32)


def postprocess(anomaly_map: npt.NDArray[np.float32], threshold: float, image_size: tuple[int, int]) -> Prediction:
    """What the map says at this threshold.

    Args:
        anomaly_map: H×W float32.
        threshold: of the score.
        image_size: (H, W) of the camera's image, in whose pixels the regions are given.
    """
    if not np.isfinite(anomaly_map).all():
        empty = np.zeros(anomaly_map.shape, np.uint8)
        return Prediction(float("nan"), threshold, empty, (), image_size)
    grey = opened(anomaly_map)
    # The comparison is made in float32 on both sides, so that verdict and labelMap cannot fall apart.
    limit = np.float32(threshold)
    label_map = np.where(grey > limit, np.uint8(255), np.uint8(0))
    score = float(grey.max())
    regions = _regions(grey, label_map, image_size) if score > limit else ()
    return Prediction(score, float(limit), label_map, regions, image_size)


def encode_label_map(label_map: npt.NDArray[np.uint8]) -> bytes:
    """The labelMap as a single-channel PNG."""
    done, data = cv2.imencode(".png", label_map, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    assert done, "OpenCV cannot write a PNG"
    return data.tobytes()


def _regions(
    grey: npt.NDArray[np.float32], label_map: npt.NDArray[np.uint8], image_size: tuple[int, int]
) -> tuple[Region, ...]:
    """Connected anomalies in image pixels, highest score first, at most MAX_REGIONS."""
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(label_map, connectivity=8)
    scale_y, scale_x = image_size[0] / grey.shape[0], image_size[1] / grey.shape[1]
    regions = []
    for label in range(1, count):
        x, y, w, h, area = (int(value) for value in boxes[label])
        inside = labels[y : y + h, x : x + w] == label
        left, top = round(x * scale_x), round(y * scale_y)
        regions.append(
            Region(
                x=left,
                y=top,
                w=max(1, round((x + w) * scale_x) - left),
                h=max(1, round((y + h) * scale_y) - top),
                area=max(1, round(area * scale_x * scale_y)),
                score=float(grey[y : y + h, x : x + w][inside].max()),
            )
        )
    return tuple(sorted(regions, key=lambda region: -region.score)[:MAX_REGIONS])
