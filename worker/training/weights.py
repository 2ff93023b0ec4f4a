"""Weights of a backbone as plain arrays by torchvision's names: draw, fold. Numpy only."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Weights = dict[str, npt.NDArray[np.float32]]
"""Parameters by torchvision name (`layer2.0.downsample.0.weight`), convolutions as out×in×kh×kw."""

BATCH_NORM_EPSILON = 1e-5  # the same default in torchvision and paddle
TEACHER, STUDENT = 0, 1
_BN_PARTS = ("weight", "bias", "running_mean", "running_var")


def shapes() -> dict[str, tuple[int, ...]]:
    """Shape of each convolution's weight from conv1 to layer3 of ResNet18, by torchvision name."""
    found: dict[str, tuple[int, ...]] = {"conv1.weight": (64, 3, 7, 7)}
    inputs = 64
    for layer, outputs in (("layer1", 64), ("layer2", 128), ("layer3", 256)):
        found[f"{layer}.0.conv1.weight"] = (outputs, inputs, 3, 3)
        found[f"{layer}.0.conv2.weight"] = (outputs, outputs, 3, 3)
        if inputs != outputs:
            found[f"{layer}.0.downsample.0.weight"] = (outputs, inputs, 1, 1)
        found[f"{layer}.1.conv1.weight"] = (outputs, outputs, 3, 3)
        found[f"{layer}.1.conv2.weight"] = (outputs, outputs, 3, 3)
        inputs = outputs
    return found


def draw(seed: int, role: int = TEACHER) -> Weights:
    """Convolutions drawn after He et al. 2015 (fan-out, normal), the same ones for the same seed and role.

    A student must not begin as its own teacher, so the two roles never share weights.
    """
    generator = np.random.default_rng([seed, role])
    return {
        name: generator.normal(0, np.sqrt(2 / (shape[0] * shape[2] * shape[3])), shape).astype(np.float32)
        for name, shape in shapes().items()
    }


def fold(weights: Weights) -> Weights:
    """Convolutions with a bias, each BatchNorm folded into the one before it; exact for frozen statistics."""
    folded: Weights = {}
    for name in (name for name in weights if name in shapes()):
        stem = name.removesuffix(".weight")
        weight = weights[name].astype(np.float64)
        bias = weights.get(f"{stem}.bias", np.zeros(len(weight))).astype(np.float64)
        norm = _norm_of(stem)
        if f"{norm}.running_var" in weights:
            scale, shift, mean, variance = (weights[f"{norm}.{part}"].astype(np.float64) for part in _BN_PARTS)
            factor = scale / np.sqrt(variance + BATCH_NORM_EPSILON)
            bias = shift + (bias - mean) * factor
            weight = weight * factor[:, None, None, None]
        folded[name] = weight.astype(np.float32)
        folded[f"{stem}.bias"] = bias.astype(np.float32)
    return folded


def _norm_of(convolution: str) -> str:
    """`layer1.0.conv2` is followed by `layer1.0.bn2`, `downsample.0` by `downsample.1`."""
    if convolution.endswith("downsample.0"):
        return convolution.removesuffix("0") + "1"
    head, _, last = convolution.rpartition(".")
    return f"{head}.{last}".lstrip(".").replace("conv", "bn")
