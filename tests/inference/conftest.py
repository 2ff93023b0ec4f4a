"""A picture that every test of the decoder may encode."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from worker.types import Image

from .encoded import HEIGHT, WIDTH


@pytest.fixture(scope="module")
def picture() -> Image:
    """Smooth, with a red, a green and a blue corner, so that a swapped channel or a turned image shows."""
    corners = np.array([[[250, 10, 10], [10, 250, 10]], [[10, 10, 250], [200, 200, 200]]], np.uint8)
    return cv2.resize(corners, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
