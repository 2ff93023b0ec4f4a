"""Two photographs of each crop: another light, exposure and noise, and the same thing before the camera."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F  # noqa: N812

from worker.training.export import IMAGENET_MEAN, IMAGENET_STD

Tensor = torch.Tensor

_CONTRAST = (-0.25, 0.1)  # powers of ten
_EXPOSURE = (-0.25, 0.25)
_UNEVENNESS = (0.0, 0.2)  # of the light
_LIGHT_CELLS = 4  # along a side
_NOISE = (0.0, 0.025)


def two_views(random: np.random.Generator, images: npt.NDArray[np.uint8]) -> Tensor:
    """n×3×H×W uint8 as 2n×3×H×W float32, normalised as in serving: first all in one light, then all in another.

    What is too bright is white, as in a camera.
    """
    crops = torch.from_numpy(np.concatenate([images, images])).float() / 255
    count, _, *size = crops.shape

    def drawn(low: float, high: float) -> Tensor:
        return torch.from_numpy(random.uniform(low, high, (count, 1, 1, 1)).astype(np.float32))

    def normal(*shape: int) -> Tensor:
        return torch.from_numpy(random.standard_normal(shape, np.float32))

    mean = crops.mean((1, 2, 3), keepdim=True)
    crops = (crops - mean) * 10 ** drawn(*_CONTRAST) + mean
    light = F.interpolate(normal(count, 1, _LIGHT_CELLS, _LIGHT_CELLS), size=size, mode="bicubic")
    crops = crops * 10 ** (drawn(*_EXPOSURE) + drawn(*_UNEVENNESS) * light)
    crops = (crops + drawn(*_NOISE) * normal(count, 1, *size)).clamp(0, 1)
    crops = (crops - torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1)) / torch.tensor(IMAGENET_STD).view(1, 3, 1, 1)
    return crops.contiguous(memory_format=torch.channels_last)
