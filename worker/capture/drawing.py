"""The part of the generated line, as its drawing has it: a steel flange with a bore, holes and a slot."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[np.float32]
Point = tuple[float, float]
"""(x, y) as shares of the picture's size."""

HOLES: tuple[Point, ...] = ((0.19, 0.19), (0.81, 0.19), (0.81, 0.81), (0.19, 0.81))
HOLE_RADIUS = 0.055
BORE: Point = (0.5, 0.46)
BORE_RADIUS = 0.155
SLOT = (0.36, 0.79, 0.64, 0.84)  # left, top, right, bottom
MARGIN = 0.06
BELT, STEEL, DEPTH = 38.0, 158.0, 24.0  # grey levels of the conveyor, the plate and the dark of a hole
_FINE = 4  # drawn this many times larger, then reduced, for smooth edges


@dataclass(frozen=True, slots=True)
class Drawing:
    """H×W float32 planes: `albedo` in grey levels, `metal` 1 on the flat of the plate and 0 beside it."""

    albedo: Plane
    metal: Plane


@lru_cache(maxsize=16)
def draw_part(size: int) -> Drawing:
    """The part in its nominal pose, `size` pixels wide and high."""
    plate = _reduced(_plate(size), size)
    openings = _blank(size)
    for hole in HOLES:
        _disk(openings, hole, HOLE_RADIUS)
    _disk(openings, BORE, BORE_RADIUS)
    _rounded(openings, SLOT, (SLOT[3] - SLOT[1]) / 2)
    opened = _reduced(openings, size)
    metal = plate * (1 - opened)
    albedo = BELT + (STEEL - BELT) * plate
    albedo = albedo * (1 - opened) + DEPTH * opened
    albedo += _chamfer(plate, size, 55) * plate - _chamfer(opened, size, 60) * (1 - 0.6 * opened)
    albedo -= _grooves(size) * metal
    return Drawing(np.clip(albedo, 0, 235).astype(np.float32), metal)


def _plate(size: int) -> Plane:
    canvas = _blank(size)
    _rounded(canvas, (MARGIN, MARGIN, 1 - MARGIN, 1 - MARGIN), 0.09)
    return canvas


def _chamfer(shape: Plane, size: int, strength: float) -> Plane:
    """Light on the edges that face up and left, shade on those that face down and right."""
    soft = cv2.GaussianBlur(shape, (0, 0), size / 130)
    slope = cv2.Sobel(soft, cv2.CV_32F, 1, 0) + cv2.Sobel(soft, cv2.CV_32F, 0, 1)
    return np.asarray(slope * (strength * size / 256 / 2), np.float32)


def _grooves(size: int) -> Plane:
    """Turned rings around the bore, in grey levels to take away."""
    canvas = _blank(size)
    for radius in (0.195, 0.235):
        centre = _fine(BORE, size)
        cv2.circle(
            canvas,
            centre,
            round(radius * size * _FINE),
            1.0,
            max(1, round(0.006 * size * _FINE)),
            cv2.LINE_AA,
        )
    return _reduced(canvas, size) * 14


def _blank(size: int) -> Plane:
    return np.zeros((size * _FINE, size * _FINE), np.float32)


def _fine(point: Point, size: int) -> tuple[int, int]:
    return round(point[0] * size * _FINE), round(point[1] * size * _FINE)


def _disk(canvas: Plane, centre: Point, radius: float) -> None:
    size = len(canvas) // _FINE
    cv2.circle(canvas, _fine(centre, size), round(radius * size * _FINE), 1.0, -1)


def _rounded(canvas: Plane, box: tuple[float, float, float, float], radius: float) -> None:
    """Fill a box (left, top, right, bottom) with rounded corners."""
    left, top, right, bottom = box
    size = len(canvas) // _FINE
    for x in (left + radius, right - radius):
        for y in (top + radius, bottom - radius):
            _disk(canvas, (x, y), radius)
    cv2.rectangle(canvas, _fine((left + radius, top), size), _fine((right - radius, bottom), size), 1.0, -1)
    cv2.rectangle(canvas, _fine((left, top + radius), size), _fine((right, bottom - radius), size), 1.0, -1)


def _reduced(canvas: Plane, size: int) -> Plane:
    return np.asarray(cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA), np.float32)
