"""What texture programs are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Field = Any
"""An array side×side of floats, in any range."""

Random = np.random.Generator
"""Called `random` where it makes a program, and `r` where a program draws one picture."""

Draw = Callable[[Random, int], Field]
"""A texture: (random, side) → side×side."""


def standard(field: Field) -> Field:
    """The same with mean 0 and deviation 1, float32."""
    return np.asarray((field - field.mean()) / (field.std() + 1e-6), np.float32)
