"""Defects painted on good images: cut-paste, scratches and stains, each with its mask.

They tell what a model sees where there is no real defect to try it on. What they look like is made up, so they rank
settings and thresholds; the share of real defects that will be found is another one.
Cut-paste follows Li et al. 2021 (arXiv:2104.04015): a part of the image, turned and recoloured, in another place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import numpy.typing as npt

from worker.types import Image

Mask = npt.NDArray[np.uint8]
"""H×W uint8: 255 where the defect is, else 0."""

Plane = npt.NDArray[np.float32]
Generator = np.random.Generator
_Painted = tuple[tuple[slice, slice], Plane, Plane]  # where; how much of it is covered, h×w 0..1; by what, h×w×3

SMALLEST = 16
"""Pixels that an image has at least a side."""

STRENGTHS = {"faint": 0.06, "medium": 0.14, "strong": 0.32}
"""Change of brightness that a defect makes, as a share of full scale."""

_COVERED = 0.3  # from which share on a pixel belongs to the defect
_LEAST_CHANGE = 3.0  # grey levels, from which on it does: black on black is no defect
_VISIBLE = 0.7  # share of a defect that must be seen; else another place is tried
_TRIES = 10
_DARK_GROUND = 80.0  # grey level: on a darker one a stain changes as much as on this
_TINT = 0.35  # of a stain's change, at most, that differs between the channels


def synthetic_defects(
    image: Image, random: Generator, strength: str | None = None
) -> Iterator[tuple[str, Image, Mask]]:
    """One defect of each kind, each on a copy of the image; sizes are relative to it.

    Args:
        image: H×W×3 RGB uint8, from `SMALLEST` pixels a side on; it is not changed. A grey one stays grey.
        random: the same state gives the same defects.
        strength: one of `STRENGTHS`; None: one is drawn for each defect.

    Yields:
        kind (one of `KINDS`), the image with the defect (H×W×3 RGB uint8), and its mask (H×W uint8).

    Raises:
        ValueError: the image is too small.
    """
    if min(image.shape[:2]) < SMALLEST:
        raise ValueError(f"an image of {image.shape[1]}×{image.shape[0]} is too small to paint on")
    for kind, paint in _PAINTERS.items():
        name = strength or str(random.choice(list(STRENGTHS)))
        for _ in range(_TRIES):
            place, changed, seen, share = _applied(image, paint(image, random, STRENGTHS[name]))
            if share >= _VISIBLE:
                break
        painted, mask = image.copy(), np.zeros(image.shape[:2], np.uint8)
        painted[place], mask[place] = changed, seen
        yield kind, painted, mask


def _applied(image: Image, defect: _Painted) -> tuple[tuple[slice, slice], Image, Mask, float]:
    """Where the defect is, the image and the mask there, and the share of it that can be seen."""
    place, covered, target = defect
    before = image[place].astype(np.float32)
    changed = np.clip(before + (target - before) * covered[..., None], 0, 255)
    inside = covered >= _COVERED
    seen = inside & (np.abs(changed - before).max(axis=2) >= _LEAST_CHANGE)
    mask = np.where(seen, 255, 0).astype(np.uint8)
    return place, np.rint(changed).astype(np.uint8), mask, float(seen.sum() / max(1, inside.sum()))


def _cut_paste(image: Image, random: Generator, strength: float) -> _Painted:
    """A rectangle from elsewhere, turned, lighter or darker by the strength, with edges one or two pixels soft."""
    side = min(image.shape[:2])
    height, width = (max(4, round(side * random.uniform(0.05, 0.2))) for _ in range(2))
    reach = math.ceil(math.hypot(height, width)) + 4
    source, place = _box(image, random, reach), _box(image, random, reach)
    patch = image[source].astype(np.float32)
    h, w = patch.shape[:2]
    turn = cv2.getRotationMatrix2D((w / 2, h / 2), random.uniform(-90, 90), 1.0)
    turned = cv2.warpAffine(patch, turn, (w, h), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    covered = np.zeros((h, w), np.float32)
    top, left = max(0, (h - height) // 2), max(0, (w - width) // 2)
    covered[top : top + height, left : left + width] = 1.0
    covered = cv2.warpAffine(covered, turn, (w, h), flags=cv2.INTER_LINEAR)
    covered = cv2.GaussianBlur(covered, (0, 0), max(0.5, side / 400))
    return place, covered, np.asarray(turned + _change(image[place], random, strength), np.float32)


def _scratch(image: Image, random: Generator, strength: float) -> _Painted:
    """A thin curve that begins and ends softly, lighter or darker than its ground."""
    side = min(image.shape[:2])
    length, width = side * random.uniform(0.15, 0.5), max(1.0, side * random.uniform(0.004, 0.012))
    place = _box(image, random, math.ceil(length))
    h, w = (one.stop - one.start for one in place)
    steps = np.linspace(0, 1, 33)
    headings = random.uniform(0, 2 * math.pi) + random.uniform(-1.2, 1.2) * steps + random.uniform(-0.8, 0.8) * steps**2
    points = np.stack([np.cos(headings), np.sin(headings)], 1).cumsum(0) * length / len(steps)
    points += np.array([w, h]) / 2 - (points.min(0) + points.max(0)) / 2
    # Pressed unevenly, as a sliding grain does, and taking off towards the ends.
    pressure = np.sin(math.pi * (steps * 0.9 + 0.05)) ** 0.5 * _wandering(random, len(steps), 0.5)
    covered = np.zeros((h, w), np.float32)
    fixed = np.rint(points * 16).astype(int).tolist()
    for begin, end, force in zip(fixed, fixed[1:], pressure.tolist(), strict=False):
        cv2.line(covered, tuple(begin), tuple(end), force, max(1, round(width)), cv2.LINE_8, 4)
    sigma = max(0.6, width / 3)
    covered = cv2.GaussianBlur(covered, (0, 0), sigma)
    covered /= max(float(covered.max()), 1e-6)
    change = _change(image[place], random, strength)
    return place, covered, image[place].astype(np.float32) + change


def _stain(image: Image, random: Generator, strength: float) -> _Painted:
    """A soft spot of uneven outline that the light is weaker or stronger in, a little coloured on a coloured image."""
    side = min(image.shape[:2])
    radius = max(3.0, side * random.uniform(0.03, 0.1))
    place = _box(image, random, math.ceil(2.8 * radius))
    h, w = (one.stop - one.start for one in place)
    y, x = np.mgrid[:h, :w].astype(np.float32)
    x, y = (x - (w - 1) / 2) / radius, (y - (h - 1) / 2) / (radius * random.uniform(0.6, 1.0))
    angle, outline = np.arctan2(y, x), np.ones((h, w))
    for waves in range(2, 6):
        outline += random.uniform(0, 0.3) / waves * np.cos(waves * angle + random.uniform(0, 2 * math.pi))
    softness = random.uniform(0.25, 0.6)
    inside = np.clip((outline - np.hypot(x, y)) / softness, 0, 1)
    covered = np.asarray(inside * inside * (3 - 2 * inside), np.float32)
    ground = image[place].astype(np.float32)
    light = max(float(ground.mean()), _DARK_GROUND)
    factor = np.full(3, 1 + _change(image[place], random, strength) / light)
    if _is_coloured(image[place]):
        factor *= 1 + random.uniform(-_TINT, _TINT, 3) * strength
    return place, covered, np.asarray(ground * factor + (factor - 1) * (light - ground.mean()), np.float32)


_PAINTERS: dict[str, Callable[[Image, Generator, float], _Painted]] = {
    "cut-paste": _cut_paste,
    "scratch": _scratch,
    "stain": _stain,
}
KINDS = tuple(_PAINTERS)


def _box(image: Image, random: Generator, size: int) -> tuple[slice, slice]:
    """A square of this size anywhere in the image, as large as the image allows."""
    sides = [min(size, whole) for whole in image.shape[:2]]
    begins = [int(random.integers(0, whole - side + 1)) for whole, side in zip(image.shape[:2], sides, strict=True)]
    top, left = (slice(begin, begin + side) for begin, side in zip(begins, sides, strict=True))
    return top, left


def _change(ground: Image, random: Generator, strength: float) -> float:
    """Grey levels to add or take away, whichever there is room for, and beyond the ground's own grain."""
    light = float(ground.mean())
    # The median of the steps from pixel to pixel: edges of the part have no say in it.
    grain = float(np.median(np.abs(np.diff(ground[..., 1].astype(np.float32), axis=1)))) if ground.shape[1] > 1 else 0.0
    change = 255 * strength * float(random.uniform(0.8, 1.2)) + grain
    up, down = light + change <= 250, light - change >= 5
    lighter = bool(random.integers(2)) if up == down else up
    return change if lighter else -change


def _wandering(random: Generator, count: int, depth: float) -> npt.NDArray[np.float64]:
    """`count` values between 1 - depth and 1 that change smoothly from one to the next."""
    knots = random.uniform(1 - depth, 1, 6)
    return np.interp(np.linspace(0, 5, count), np.arange(6), knots)


def _is_coloured(image: Image) -> bool:
    return bool((image[..., 0] != image[..., 1]).any() or (image[..., 1] != image[..., 2]).any())
