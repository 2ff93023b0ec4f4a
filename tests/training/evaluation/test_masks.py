"""Masks come to the model's size without losing a region, and must fit their image."""

from __future__ import annotations

from pathlib import Path
from random import Random

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import SourceError
from worker.settings import LimitSettings
from worker.training.dataset.masks import read_mask
from worker.training.evaluation.masks import at_size, mask_of

_SIDE = st.integers(1, 70)


@given(_SIDE, _SIDE, _SIDE, _SIDE, st.randoms(use_true_random=False))
def test_no_pixel_of_a_mask_vanishes(height: int, width: int, rows: int, columns: int, random: Random) -> None:
    mask = np.zeros((height, width), bool)
    y, x = random.randrange(height), random.randrange(width)
    mask[y, x] = True

    small = at_size(mask, (rows, columns))

    assert small.shape == (rows, columns)
    if rows <= height and columns <= width:
        # The very cell that the pixel falls into, and no other.
        assert np.argwhere(small).tolist() == [[_cell(y, height, rows), _cell(x, width, columns)]]


def _cell(place: int, large: int, small: int) -> int:
    return (2 * place + 1) * small // (2 * large)  # where its centre lies


def test_a_larger_mask_is_that_of_the_nearest_pixel() -> None:
    mask = np.array([[True, False], [False, True]])

    np.testing.assert_array_equal(at_size(mask, (4, 6)), np.kron(mask, np.ones((2, 3))) > 0)


def test_a_mask_of_ones_marks_as_one_of_255(tmp_path: Path) -> None:
    mask = np.zeros((20, 30), np.uint8)
    mask[3:5, 7:9] = 1
    cv2.imwrite(str(tmp_path / "m.png"), mask)

    assert mask_of(tmp_path / "i.png", tmp_path / "m.png", (20, 30), LimitSettings()).sum() == 4


def test_a_mask_of_another_size_is_refused_with_both_sizes(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "m.png"), np.zeros((20, 30), np.uint8))

    with pytest.raises(SourceError, match=r"m\.png.*30×20.*i\.png 30×21"):
        mask_of(tmp_path / "i.png", tmp_path / "m.png", (21, 30), LimitSettings())


def test_every_mask_of_real_defects_keeps_its_regions(shared_dir: Path) -> None:
    masks = sorted((shared_dir / "data" / "magnetic_tile" / "ground_truth").rglob("*.png"))[::6]

    for path in masks:
        mask = read_mask(path, LimitSettings())
        small = at_size(mask, (256, 256))
        # A cell is at most a few pixels: what was marked is still marked after a way there and back.
        assert at_size(small, mask.shape)[mask].mean() > 0.95
        assert small.mean() < 3 * mask.mean() + 0.01
