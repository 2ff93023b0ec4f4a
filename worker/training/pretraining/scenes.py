"""Training crops: textures of some programs side by side, with defects, shades and light; and what is where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from worker.training.pretraining.defects import low_noise, paint
from worker.training.pretraining.field import Field, Random
from worker.training.pretraining.programs import program

SIDE = 96
"""Of a crop, in pixels; a texture is 160 and gives crops at many scales."""

IGNORED = -1
"""The program where a defect was painted, or where nothing is to be seen of any."""

_TEXTURE = 160
_PLAIN = 0.15  # share of parts that are an even shade
_NOISE = (0, 0.01, 0.02, 0.04)

Pool = npt.NDArray[np.uint8]
"""programs×pictures×160×160, grey."""


@dataclass(frozen=True, slots=True)
class Scenes:
    """`images` n×3×96×96 uint8 RGB; `programs` n×96×96 int16, IGNORED where a defect is; `defects` n×96×96 uint8, the
    numbers of `defects.KINDS`; `clean` n×96×96 uint8, grey, at full contrast, before light, blur and noise."""

    images: npt.NDArray[np.uint8]
    programs: npt.NDArray[np.int16]
    defects: npt.NDArray[np.uint8]
    clean: npt.NDArray[np.uint8]


def draw_pool(programs: int, each: int, seed: int) -> Pool:
    """`each` textures of every program."""
    pool = np.empty((programs, each, _TEXTURE, _TEXTURE), np.uint8)
    for number in range(programs):
        draw = program(number)
        for picture in range(each):
            pool[number, picture] = draw(np.random.default_rng([seed, number, picture]), _TEXTURE) * 255
    return pool


def draw_scenes(random: Random, pool: Pool, count: int) -> Scenes:
    """So many crops."""
    scenes = Scenes(
        np.empty((count, 3, SIDE, SIDE), np.uint8),
        np.empty((count, SIDE, SIDE), np.int16),
        np.empty((count, SIDE, SIDE), np.uint8),
        np.empty((count, SIDE, SIDE), np.uint8),
    )
    for number in range(count):
        _draw(random, pool, scenes, number)
    return scenes


def _draw(r: Random, pool: Pool, scenes: Scenes, number: int) -> None:
    in_colour = r.random() < 0.5
    grey, colour, label = _composed(r, pool, in_colour)
    where = np.zeros((SIDE, SIDE), np.uint8)
    if r.random() < 0.75:
        for _ in range(int(r.integers(1, 4))):
            paint(r, grey, where)
    scenes.clean[number] = (grey - grey.min()) / (np.ptp(grey) + 1e-6) * 255
    scenes.images[number] = np.clip(_photographed(r, grey, colour), 0, 1) * 255
    scenes.programs[number] = np.where(where > 0, IGNORED, label)
    scenes.defects[number] = where


def _composed(r: Random, pool: Pool, in_colour: bool) -> tuple[Field, Field, npt.NDArray[np.int16]]:
    """One to three textures: grey 96×96, what colour adds to it 3×96×96, and whose pixel each is."""
    grey = np.zeros((SIDE, SIDE), np.float32)
    colour = np.zeros((3, SIDE, SIDE), np.float32)
    label = np.zeros((SIDE, SIDE), np.int16)
    mask = np.ones((SIDE, SIDE), np.float32)
    for part in range(int(r.choice([1, 2, 3], p=[0.35, 0.4, 0.25]))):
        number = int(r.integers(len(pool)))
        texture = _crop(r, pool[number, int(r.integers(pool.shape[1]))])
        contrast = 0.0 if r.random() < _PLAIN else 10 ** r.uniform(-0.4, 0.15)
        texture = r.uniform(0.15, 0.85) + contrast * (texture - 0.5)
        if part:
            mask = _soft_mask(r)
        grey += (texture - grey) * mask
        label[mask > 0.5] = number if contrast else IGNORED
        if in_colour:
            tint, slope = r.normal(0, 0.12, (3, 1, 1)), r.normal(0, 0.4, (3, 1, 1))
            colour += (slope * (texture - 0.5) + tint - colour) * mask
    return grey, colour, label


def _crop(r: Random, texture: npt.NDArray[np.uint8]) -> Field:
    side = int(SIDE * r.uniform(0.75, 1.5))
    y, x = r.integers(0, _TEXTURE - side + 1, 2)
    crop = texture[y : y + side, x : x + side]
    how = cv2.INTER_AREA if side > SIDE else cv2.INTER_LINEAR
    return cv2.resize(crop, (SIDE, SIDE), interpolation=how).astype(np.float32) / 255


def _soft_mask(r: Random) -> Field:
    """Where one texture gives way to the next: a straight or bent border, patches, discs, or bands; 0 to 1."""
    kind = int(r.integers(5))
    if kind <= 1:
        angle, offset = r.uniform(0, 2 * np.pi), r.uniform(-25, 25)
        y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32) - SIDE / 2
        inside: Any = x * np.cos(angle) + y * np.sin(angle) + offset
        if kind == 1:
            inside = inside + low_noise(r, SIDE, 4) * r.uniform(0, 12)
    elif kind == 2:
        inside = (low_noise(r, SIDE, int(r.integers(1, 6))) - r.uniform(-0.3, 0.8)) * 12
    else:
        inside = (_discs(r) if kind == 3 else _bands(r)) * 12 - 6
    return np.clip(0.5 + inside * r.uniform(0.1, 0.6), 0, 1)


def _discs(r: Random) -> Field:
    mask = np.zeros((SIDE, SIDE), np.float32)
    for _ in range(int(r.integers(1, 6))):
        centre, axes = r.integers(0, SIDE, 2).tolist(), r.integers(5, 30, 2).tolist()
        cv2.ellipse(mask, centre, axes, float(r.uniform(0, 180)), 0, 360, (1.0,), -1, cv2.LINE_AA)
    return mask


def _bands(r: Random) -> Field:
    mask = np.zeros((SIDE, SIDE), np.float32)
    for _ in range(int(r.integers(1, 4))):
        start, end = r.integers(-10, SIDE + 10, (2, 2)).tolist()
        cv2.line(mask, start, end, (1.0,), int(r.integers(6, 26)), cv2.LINE_AA)
    return mask


def _photographed(r: Random, grey: Field, colour: Field) -> Field:
    """3×96×96: uneven light, defocus, colour, noise, exposure."""
    if r.random() < 0.4:
        grey = grey * (1 + r.uniform(0, 0.35) * low_noise(r, SIDE, 1))
    if r.random() < 0.3:
        grey = cv2.GaussianBlur(grey, (0, 0), r.uniform(0.4, 1.3))
    picture = grey[None] + colour
    if noise := float(r.choice(_NOISE)):
        channels = 3 if colour.any() and r.random() < 0.5 else 1
        picture = picture + noise * r.standard_normal((channels, SIDE, SIDE), np.float32)
    if r.random() < 0.3:
        picture = picture * 10 ** r.uniform(-0.4, 0.2)
    return picture
