"""Painted defects: what a teacher should see in any texture, however faint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from worker.training.pretraining.field import Field, Random

KINDS = ("none", "scratch", "crack", "spot", "stain", "moved", "smoothed", "specks")
"""By the numbers that the maps have; 0 is where nothing was painted."""

Where = Any
"""Array side×side uint8: the number of the kind that was painted over a pixel."""


def paint(r: Random, image: Field, where: Where) -> None:
    """Paint one defect of a random kind into both, in place; `image` is side×side float32, 0 to 1."""
    number = int(r.integers(1, len(KINDS)))
    spread = float(image.std()) + 0.03
    strength = (1 if r.random() < 0.5 else -1) * spread * 2 ** r.uniform(-0.3, 2.2)
    kind = KINDS[number]
    if kind == "moved":
        _move(r, image, where, number, spread)
    elif kind == "smoothed":
        _smooth(r, image, where, number, spread)
    else:
        mask = _MASKS[kind](r, len(image))
        image += strength * (0.7 if kind == "stain" else 1.0) * mask
        where[mask > 0.35] = number


def low_noise(r: Random, side: int, cells: int) -> Field:
    """Smooth noise with about so many cells along a side."""
    coarse = r.standard_normal((cells + 3, cells + 3)).astype(np.float32)
    wide = cv2.resize(coarse, (side + side // 2, side + side // 2), interpolation=cv2.INTER_CUBIC)
    y, x = r.integers(0, side // 2, 2)
    return wide[y : y + side, x : x + side]


def _scratch(r: Random, side: int) -> Field:
    return _line(r, side, _walk(r, side, 8, r.uniform(2, 12), r.uniform(0.02, 0.25)))


def _crack(r: Random, side: int) -> Field:
    return _line(r, side, _walk(r, side, int(r.integers(6, 24)), r.uniform(2, 6), r.uniform(0.4, 0.9)))


def _spot(r: Random, side: int) -> Field:
    mask = np.zeros((side, side), np.float32)
    centre, axes = _whole(r.integers(6, side - 6, 2)), _whole(r.integers(2, 10, 2))
    cv2.ellipse(mask, centre, axes, float(r.uniform(0, 180)), 0, 360, 1.0, -1, cv2.LINE_AA)
    if r.random() < 0.4:
        cv2.ellipse(mask, centre, (axes[0] // 2, axes[1] // 2), 0, 0, 360, 0.4, -1, cv2.LINE_AA)
    return mask


def _stain(r: Random, side: int) -> Field:
    centre, size = r.integers(10, side - 10, 2), r.uniform(5, 16)
    y, x = np.mgrid[:side, :side].astype(np.float32)
    tall = size * 2 ** r.uniform(-0.7, 0.7)
    mask = np.exp(-(((x - centre[0]) / size) ** 2 + ((y - centre[1]) / tall) ** 2))
    return mask * (0.7 + 0.3 * np.tanh(2 * low_noise(r, side, 8)))


def _specks(r: Random, side: int) -> Field:
    mask = np.zeros((side, side), np.float32)
    centre, size = r.integers(10, side - 10, 2), r.uniform(5, 18)
    for _ in range(int(r.integers(4, 30))):
        at = _whole((centre + r.normal(0, size / 2, 2)) * 16)
        cv2.circle(mask, at, int(r.uniform(0.6, 2.2) * 16), 1.0, -1, cv2.LINE_AA, 4)
    return mask


_MASKS: dict[str, Callable[[Random, int], Field]] = {
    "scratch": _scratch,
    "crack": _crack,
    "spot": _spot,
    "stain": _stain,
    "specks": _specks,
}


def _move(r: Random, image: Field, where: Where, number: int, spread: float) -> None:
    """A piece from elsewhere, turned round or not, a little lighter or darker."""
    side = len(image)
    h, w = _whole(r.integers(6, 26, 2))
    y, x, to_y, to_x = _whole(r.integers(0, (side - h, side - w, side - h, side - w)))
    piece = image[y : y + h, x : x + w].copy()
    if r.random() < 0.5:
        piece = piece[::-1, ::-1]
    piece = piece + r.normal(0, 0.6) * spread
    edge = np.ones((h, w), np.float32)
    if r.random() < 0.5:
        edge[:] = 0
        cv2.ellipse(edge, (w // 2, h // 2), (w // 2 - 1, h // 2 - 1), 0, 0, 360, 1.0, -1, cv2.LINE_AA)
    there = image[to_y : to_y + h, to_x : to_x + w]
    there += (piece - there) * edge
    where[to_y : to_y + h, to_x : to_x + w][edge > 0.4] = number


def _smooth(r: Random, image: Field, where: Where, number: int, spread: float) -> None:
    """The texture is gone, and the shade a little different."""
    side = len(image)
    y, x = np.mgrid[:side, :side].astype(np.float32)
    centre, size = r.integers(10, side - 10, 2), r.uniform(6, 16)
    far = np.hypot(x - centre[0], (y - centre[1]) * 2 ** r.uniform(-0.7, 0.7))
    mask = np.clip(2.5 - 2 * far / size, 0, 1)
    shade = r.normal(0, 0.5) * spread
    image += (cv2.GaussianBlur(image, (0, 0), r.uniform(2, 6)) + shade - image) * mask
    where[mask > 0.5] = number


def _walk(r: Random, side: int, pieces: int, step: float, wild: float) -> Any:
    """Points of a line that turns by `wild` at each step, in sixteenths of a pixel."""
    way, point = r.uniform(0, 2 * np.pi), r.uniform(5, side - 5, 2)
    points = [point]
    for _ in range(pieces):
        way += r.normal(0, wild)
        point = point + step * np.array([np.cos(way), np.sin(way)])
        points.append(point)
    return (np.array(points) * 16).astype(np.int32)


def _line(r: Random, side: int, points: Any) -> Field:
    mask = np.zeros((side, side), np.float32)
    cv2.polylines(mask, [points], False, (1.0,), int(r.integers(1, 3)), cv2.LINE_AA, 4)
    return mask


def _whole(numbers: Any) -> tuple[int, ...]:
    return tuple(int(number) for number in numbers)
