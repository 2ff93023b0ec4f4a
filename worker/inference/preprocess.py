"""From an RGB image to the graph's input, as `inference.yml` says and as PaddleX does it.

PaddleX applies Resize (OpenCV, LINEAR unless said otherwise), then Normalize (times 1/255/std, minus
mean/std, in float32), then HWC → CHW, whatever the order in the file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from worker.errors import BundleError
from worker.types import Image

_INTERPOLATION = {
    "NEAREST": cv2.INTER_NEAREST,
    "LINEAR": cv2.INTER_LINEAR,
    "BICUBIC": cv2.INTER_CUBIC,
    "AREA": cv2.INTER_AREA,
    "LANCZOS4": cv2.INTER_LANCZOS4,
}
_CHANNELS = 3


@dataclass(frozen=True, slots=True)
class Transforms:
    """The steps of `Deploy.transforms`. `size` is (width, height); mean and std are of values in 0..1."""

    size: tuple[int, int] = (256, 256)
    interpolation: str = "LINEAR"
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)

    @property
    def map_shape(self) -> tuple[int, int]:
        """(H, W) of the graph's input and of the labelMap."""
        return self.size[1], self.size[0]

    def scales_and_shifts(self) -> list[tuple[np.float32, np.float32]]:
        """Per channel, what a pixel is multiplied with and what is added then: PaddleX's own order of operations, so
        that the same float32 comes out."""
        pairs = zip(self.mean, self.std, strict=True)
        return [(np.float32(1.0 / 255 / std), np.float32(-mean / std)) for mean, std in pairs]


def parse_transforms(steps: list[dict[str, Any]], where: str) -> Transforms:
    """Read `Deploy.transforms`.

    Raises:
        BundleError: a step or an argument is not one that this model kind uses.
    """
    values: dict[str, Any] = {}
    for step in steps:
        arguments = dict(step)
        kind = arguments.pop("type", None)
        if kind == "Resize":
            values |= _resize(arguments, where)
        elif kind == "Normalize":
            values["mean"] = _three(arguments.pop("mean", 0.5), "mean", where)
            values["std"] = _three(arguments.pop("std", 0.5), "std", where)
        else:
            raise BundleError(f"{where}: transform {kind!r} is not supported; Resize and Normalize are")
        if arguments:
            raise BundleError(f"{where}: {kind} has unknown arguments {', '.join(map(str, arguments))}")
    if "size" not in values:
        raise BundleError(f"{where}: there is no Resize step, so that frames would have different sizes")
    return Transforms(**values)


def preprocess(image: Image, transforms: Transforms) -> npt.NDArray[np.float32]:
    """One image, H×W×3 RGB uint8, as a float32 graph's input: 3×h×w, contiguous."""
    return normalised(resized(image, transforms), transforms)


def resized(image: Image, transforms: Transforms) -> Image:
    """H×W×3 RGB uint8 at the graph's size, h×w×3; the image itself where it has that."""
    if (image.shape[1], image.shape[0]) == transforms.size:
        return np.ascontiguousarray(image)
    resize = cv2.resize(image, transforms.size, interpolation=_INTERPOLATION[transforms.interpolation])
    return np.asarray(resize, np.uint8)


def normalised(image: Image, transforms: Transforms) -> npt.NDArray[np.float32]:
    """h×w×3 uint8 as a float32 graph's input: 3×h×w float32, contiguous."""
    output = np.empty((_CHANNELS, *image.shape[:2]), np.float32)
    for channel, (scale, shift) in enumerate(transforms.scales_and_shifts()):
        np.multiply(image[..., channel], scale, out=output[channel])
        output[channel] += shift
    return output


def _resize(arguments: dict[str, Any], where: str) -> dict[str, Any]:
    target = arguments.pop("target_size", None)
    target = [target, target] if isinstance(target, int) else target
    valid = isinstance(target, list | tuple) and len(target) == 2
    if not valid or not all(isinstance(side, int) and 1 <= side <= 4096 for side in target):
        raise BundleError(f"{where}: Resize.target_size must be one or two numbers from 1 to 4096")
    if arguments.pop("keep_ratio", False):
        raise BundleError(f"{where}: Resize.keep_ratio is not supported: frames of a batch need one size")
    if divisor := arguments.pop("size_divisor", None):
        target = [math.ceil(side / divisor) * divisor for side in target]
    interpolation = str(arguments.pop("interp", "LINEAR")).upper()
    if interpolation not in _INTERPOLATION:
        raise BundleError(f"{where}: Resize.interp must be one of {', '.join(_INTERPOLATION)}")
    return {"size": (target[0], target[1]), "interpolation": interpolation}


def _three(value: Any, name: str, where: str) -> tuple[float, ...]:
    values = [value] * _CHANNELS if isinstance(value, int | float) else value
    if not isinstance(values, list | tuple) or len(values) != _CHANNELS:
        raise BundleError(f"{where}: Normalize.{name} must be one or {_CHANNELS} numbers")
    if not all(isinstance(number, int | float) and math.isfinite(number) for number in values):
        raise BundleError(f"{where}: Normalize.{name} must be numbers")
    if name == "std" and not all(values):
        raise BundleError(f"{where}: Normalize.std must not be 0")
    return tuple(float(number) for number in values)
