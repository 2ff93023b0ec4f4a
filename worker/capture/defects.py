"""The defects of the generated line, each drawn onto the picture of a part in its nominal pose."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from worker.capture.drawing import BELT, BORE, BORE_RADIUS, HOLE_RADIUS, HOLES, MARGIN, SLOT

Generator = np.random.Generator
Plane = npt.NDArray[np.float32]
Mask = npt.NDArray[np.uint8]

_CLEARANCE = 0.05  # of the size, from holes and edges to a defect's middle


def spoil(picture: Plane, metal: Plane, kind: str, random: Generator) -> Mask:
    """Draw a defect into `picture` (H×W×3, grey levels) in place.

    Args:
        metal: H×W, 1 on the flat of the plate and 0 beside it.
        kind: one of KINDS, or `good`, which draws nothing.

    Returns:
        H×W uint8, 255 where the defect is.
    """
    paint = _PAINTERS.get(kind)
    return np.zeros(metal.shape, np.uint8) if paint is None else paint(picture, metal, random)


def _scratch(picture: Plane, metal: Plane, random: Generator) -> Mask:
    """A bent line with a bright burr beside a dark furrow."""
    size = len(picture)
    middle = _free_spot(random)
    angle = random.uniform(0.2, np.pi - 0.2)  # never along the brushing, which would hide it
    half = random.uniform(0.10, 0.17)
    along = np.array([np.cos(angle), np.sin(angle)])
    across = np.array([-along[1], along[0]])
    steps = np.linspace(-1, 1, 9)[:, None]
    bend = random.uniform(-0.03, 0.03)
    jumps = random.uniform(-0.004, 0.004, (len(steps), 2))
    points = (middle + steps * half * along + bend * (1 - steps**2) * across + jumps) * size
    width = max(1, round(size * random.uniform(0.010, 0.014)))
    furrow, burr = (_line(size, points + side * width * across, width) * metal for side in (0.0, 1.0))
    picture *= (1 - 0.62 * furrow)[:, :, None]
    picture += (75 * burr * (1 - furrow))[:, :, None]
    return _marked(furrow + burr)


def _stain(picture: Plane, metal: Plane, random: Generator) -> Mask:
    """Oil: a few overlapping brown patches with soft edges."""
    size = len(picture)
    patch = np.zeros((size, size), np.float32)
    middle = _free_spot(random)
    for _ in range(4):
        spot = (middle + random.uniform(-0.035, 0.035, 2)) * size
        axes = random.uniform(0.03, 0.06, 2) * size
        cv2.ellipse(patch, _pixel(spot), _pixel(axes), random.uniform(0, 180), 0, 360, 1.0, -1, cv2.LINE_AA)
    patch = cv2.GaussianBlur(patch, (0, 0), size / 110) * metal
    depth = random.uniform(0.8, 1.0) * np.array([0.46, 0.58, 0.72], np.float32)
    picture *= 1 - patch[:, :, None] * depth
    return _marked(patch)


def _dent(picture: Plane, metal: Plane, random: Generator) -> Mask:
    """A hollow: the side away from the light is dark, the other catches it."""
    size = len(picture)
    centre = _free_spot(random) * size
    radius = random.uniform(0.04, 0.058) * size
    y, x = np.mgrid[:size, :size].astype(np.float32)
    dx, dy = (x - centre[0]) / radius, (y - centre[1]) / radius
    bowl = np.clip(1 - (dx**2 + dy**2), 0, None)
    shading = (dx + dy) * np.sqrt(bowl) * metal
    picture *= (1 + 0.75 * shading - 0.18 * bowl * metal)[:, :, None]
    np.clip(picture, 0, 235, out=picture)
    return _marked(bowl * metal * 4)


def _chip(picture: Plane, metal: Plane, random: Generator) -> Mask:
    """A piece broken off the plate's edge: the belt shows, with a bright line of fracture."""
    size = len(picture)
    place = random.uniform(0.3, 0.7)
    middle = np.array([(place, MARGIN), (place, 1 - MARGIN), (MARGIN, place), (1 - MARGIN, place)][random.integers(4)])
    turns = np.linspace(0, 2 * np.pi, 11, endpoint=False)
    reach = random.uniform(0.045, 0.075, 11)[:, None]
    corners = (middle + reach * np.stack([np.cos(turns), np.sin(turns)], axis=1)) * size
    piece = np.zeros((size, size), np.float32)
    cv2.fillPoly(piece, [np.round(corners).astype(np.int32)], 1.0, cv2.LINE_AA)
    rim = cv2.dilate(piece, np.ones((3, 3), np.uint8)) - piece
    lost = piece * (metal > 0.02)
    picture *= (1 - lost)[:, :, None]
    picture += (lost * BELT + 60 * rim * metal)[:, :, None]
    return _marked(lost)


def _swarf(picture: Plane, metal: Plane, random: Generator) -> Mask:
    """Curled shavings of bright metal left in a hole, reaching over its edge."""
    size = len(picture)
    middle = np.array(HOLES[random.integers(len(HOLES))])
    curl = np.zeros((size, size), np.float32)
    for _ in range(5):
        spot = (middle + random.uniform(-0.025, 0.025, 2)) * size
        axes = np.array([random.uniform(0.03, 0.05), random.uniform(0.014, 0.03)]) * size
        start = random.uniform(0, 360)
        bright = random.uniform(0.65, 1.0)
        width = max(1, round(size * 0.009))
        turn = random.uniform(0, 180)
        cv2.ellipse(curl, _pixel(spot), _pixel(axes), turn, start, start + 250, bright, width, cv2.LINE_AA)
    shade = cv2.GaussianBlur(curl, (0, 0), size / 100)
    picture *= (1 - np.clip(0.6 * shade, 0, 1) * metal)[:, :, None]
    cover = np.clip(curl, 0, 1)[:, :, None]
    picture *= 1 - np.minimum(1, 2 * cover)
    picture += 215 * cover
    return _marked(curl)


_PAINTERS: dict[str, Callable[[Plane, Plane, Generator], Mask]] = {
    "scratch": _scratch,
    "stain": _stain,
    "dent": _dent,
    "chip": _chip,
    "swarf": _swarf,
}
KINDS = tuple(_PAINTERS)
"""Every kind of defect."""


def _free_spot(random: Generator) -> npt.NDArray[np.float64]:
    """(x, y) as shares of the size, on the flat of the plate and away from its holes."""
    inside = MARGIN + _CLEARANCE
    while True:
        spot = random.uniform(inside, 1 - inside, 2)
        openings = [(hole, HOLE_RADIUS) for hole in HOLES] + [(BORE, BORE_RADIUS)]
        clear = all(np.hypot(*(spot - at)) > radius + _CLEARANCE for at, radius in openings)
        left, top, right, bottom = SLOT
        beside_slot = not (
            left - _CLEARANCE < spot[0] < right + _CLEARANCE and top - _CLEARANCE < spot[1] < bottom + _CLEARANCE
        )
        if clear and beside_slot:
            return spot


def _line(size: int, points: npt.NDArray[np.float64], width: int) -> Plane:
    canvas = np.zeros((size, size), np.float32)
    cv2.polylines(canvas, [np.round(points).astype(np.int32)], False, 1.0, width)
    return np.asarray(cv2.GaussianBlur(canvas, (3, 3), 0), np.float32)


def _marked(strength: Plane) -> Mask:
    return np.where(strength > 0.25, 255, 0).astype(np.uint8)


def _pixel(point: npt.NDArray[np.float64]) -> tuple[int, int]:
    return round(point[0]), round(point[1])
