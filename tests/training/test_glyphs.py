"""The teacher without photographs begins to read, and follows its seed."""

import numpy as np

from worker.training.glyphs import LETTERS, SIDE, draw_glyph, glyph_teacher
from worker.training.make import TRANSFORMS
from worker.training.weights import shapes


def test_a_letter_is_an_image_that_follows_its_seed() -> None:
    first, second = (draw_glyph("R", np.random.default_rng(4)) for _ in range(2))

    assert first.shape == (SIDE, SIDE, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, second)
    assert first.std() > 3
    assert len(set(LETTERS)) == len(LETTERS)


def test_the_teacher_has_every_convolution_of_a_backbone() -> None:
    seen: list[int] = []

    weights = glyph_teacher(TRANSFORMS, steps=2, batch_size=4, progress=lambda step, loss: seen.append(step))

    assert seen == [1, 2]
    assert {name: weights[name].shape for name in shapes()} == shapes()
    assert all(np.isfinite(value).all() for value in weights.values())
