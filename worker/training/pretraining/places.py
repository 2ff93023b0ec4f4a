"""What a teacher's distances must be like: small between two photographs of a place, large between different places.

The contrastive loss of van den Oord et al. 2018 (arXiv:1807.03748) over places, as in DenseCL (Wang et al. 2021,
arXiv:2011.09157), on the very features whose directions STFPM compares: without a head, which would keep the light in
them and hide it from the loss.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812

Tensor = torch.Tensor

_TEMPERATURE = 0.07
_EACH = 24  # places of a crop, at most
_NEVER = -1e4


def place_loss(random: np.random.Generator, layer: Tensor, programs: Tensor, defects: Tensor) -> Tensor:
    """How badly a place is found again in the other view, among places of other textures and other defects.

    Args:
        layer: 2n×C×h×w features of n crops in one light, then of the same in another.
        programs, defects: n·h·w numbers, as `tasks.answers_of` gives them.
    """
    channels, places = layer.shape[1], layer.shape[2] * layer.shape[3]
    rows = F.normalize(layer.float(), dim=1).permute(0, 2, 3, 1).reshape(2, -1, channels)
    crops = rows.shape[1] // places
    each = min(_EACH, places)
    asked = np.concatenate([crop * places + random.choice(places, each, replace=False) for crop in range(crops)])
    numbers = torch.from_numpy(asked)
    likeness = rows[0, numbers] @ rows[1, numbers].T / _TEMPERATURE
    likeness = likeness.masked_fill(_alike(numbers // places, programs[numbers], defects[numbers]), _NEVER)
    right = torch.arange(len(numbers))
    return 0.5 * (F.cross_entropy(likeness, right) + F.cross_entropy(likeness.T, right))


def _alike(crops: Tensor, programs: Tensor, defects: Tensor) -> Tensor:
    """Pairs of different places that need not be told apart: of one texture, or of one kind of defect in one crop."""
    known = programs >= 0
    same_texture = _equal(programs) & known[:, None] & known
    same_defect = _equal(crops) & _equal(defects) & ~known[:, None] & ~known
    return (same_texture | same_defect).fill_diagonal_(False)


def _equal(numbers: Tensor) -> Tensor:
    return numbers[:, None] == numbers
