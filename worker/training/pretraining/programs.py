"""Random picture programs: each draws textures of one look, in endless variations. Numpy and OpenCV alone.

A program follows from a seed; a picture from the program and another seed. What the pictures of a program share is what
a network can tell it by: scale, direction, regularity, shapes, sharpness, distribution of shades.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from worker.training.pretraining.field import Draw, Field, Random, standard
from worker.training.pretraining.shapes import cells, fractal, glyphs, lattice, leaves, strokes
from worker.training.pretraining.waves import grating, noise

_FAMILIES = (noise, noise, grating, grating, lattice, leaves, strokes, glyphs, cells, fractal)
_COMBINED = 0.35  # share of programs that are made of two


def program(seed: int) -> Draw:
    """The program of this seed: (random, side) → side×side, 0 to 1."""
    random = np.random.default_rng([seed, 11])
    draw = _family(random)
    if random.random() < _COMBINED:
        draw = _combined(random, draw, _family(random))
    shade = _shading(random)
    return lambda r, side: shade(standard(draw(r, side)))


def _family(random: Random) -> Draw:
    return _FAMILIES[int(random.integers(len(_FAMILIES)))](random)


def _combined(random: Random, first: Draw, second: Draw) -> Draw:
    kind, share = int(random.integers(3)), random.uniform(0.2, 0.8)

    def draw(r: Random, side: int) -> Field:
        a, b = standard(first(r, side)), standard(second(r, side))
        if kind == 0:
            return share * a + (1 - share) * b
        if kind == 1:
            return a * (1 / (1 + np.exp(-3 * b)))
        return np.where(b > 0, a, share * b)

    return draw


def _shading(random: Random) -> Callable[[Field], Field]:
    """From standard units to 0..1: how contrasty, how lopsided."""
    gain, bend = random.uniform(0.12, 0.3), 2 ** random.uniform(-0.6, 0.6)
    flip = random.choice([-1.0, 1.0])
    return lambda field: np.asarray(np.clip(0.5 + flip * gain * field, 0, 1) ** bend, np.float32)
