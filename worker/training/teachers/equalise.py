"""A teacher whose channels all count alike on the good images.

The distance of two directions is ruled by the channels that are always strong, and those say least: they are on
wherever there is something. A channel that is quiet on good parts and loud on a defect must be heard. So each channel
of a stage's features is divided by its strength on good images (as in EfficientAD, Batzner et al. 2023,
arXiv:2303.14535, which also takes out the mean). The factors are positive, so they pass through the rectifiers into
the weights: the network stays a ResNet18, computes the same, and costs the same.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from worker.errors import SourceError
from worker.training.data import Samples
from worker.training.framework import on_one_thread, paddle
from worker.training.network import STAGES, folded_backbone
from worker.training.weights import Weights

Factors = npt.NDArray[np.float64]
"""One for each channel of a stage."""

_Precise = dict[str, npt.NDArray[np.float64]]

_IMAGES, _BATCH = 128, 8
_MOST = 65504  # of float16
_LEAST = 0.05  # of the median strength: a channel that good images hardly ever wake is not made louder than that


def prepared(teacher: Weights, good: Samples, name: str, *, equalise: bool) -> Weights:
    """Folded weights to teach with, equalised if wanted.

    Raises:
        SourceError: a student would learn nothing from it: a stage sees nothing on the good images, or float16, which a
            model keeps its weights as, cannot hold it.
    """
    heard = strengths(teacher, good)
    weights = equalised(teacher, heard) if equalise else teacher
    most = float(np.max([np.abs(values).max() for values in weights.values()]))
    if not most <= _MOST:
        raise SourceError(f"teacher {name}: a weight of {most:.3g}, and a model keeps them as float16: {_MOST} at most")
    for (stage, _, _), rms in zip(STAGES, heard, strict=True):
        if not (np.isfinite(rms).all() and rms.any()):
            raise SourceError(f"teacher {name}: its {stage} sees nothing on these images, or what is no number")
    return weights


def equalised(teacher: Weights, heard: list[Factors]) -> Weights:
    """Folded weights whose stages give the same features, each channel that is `heard` with a root mean square of 1."""
    return scaled(teacher, [1 / _audible(rms) for rms in heard])


def _audible(rms: Factors) -> Factors:
    lives = rms[(rms > 0) & np.isfinite(rms)]
    return np.maximum(rms, _LEAST * np.median(lives)) if len(lives) else np.ones_like(rms)


def strengths(teacher: Weights, good: Samples) -> list[Factors]:
    """The root mean square of each channel over some of the images, for each stage."""
    on_one_thread()
    backbone, count = folded_backbone(teacher), min(len(good), _IMAGES)
    sums = [np.zeros(channels) for _, channels, _ in STAGES]
    for start in range(0, count, _BATCH):
        with paddle.no_grad():
            stages = backbone(paddle.to_tensor(good.batch(range(start, min(start + _BATCH, count)))))
        for stage, features in enumerate(stages):
            sums[stage] += np.square(features.numpy(), dtype=np.float64).mean((2, 3)).sum(0)
    return [np.sqrt(total / count) for total in sums]


def scaled(teacher: Weights, factors: list[Factors]) -> Weights:
    """Folded weights whose stages give the same features, each channel times a positive factor."""
    weights = {name: value.astype(np.float64) for name, value in teacher.items()}
    _give(weights, "conv1", factors[0])  # max pooling keeps the factors
    before = factors[0]
    for (stage, _, _), factor in zip(STAGES, factors, strict=True):
        for block, taken in (("0", before), ("1", factor)):
            _take(weights, f"{stage}.{block}.conv1", taken)
            _give(weights, f"{stage}.{block}.conv2", factor)
        if f"{stage}.0.downsample.0.weight" in weights:
            _take(weights, f"{stage}.0.downsample.0", before)
            _give(weights, f"{stage}.0.downsample.0", factor)
        before = factor
    return {name: value.astype(np.float32) for name, value in weights.items()}


def _give(weights: _Precise, convolution: str, factor: Factors) -> None:
    weights[f"{convolution}.weight"] *= factor[:, None, None, None]
    weights[f"{convolution}.bias"] *= factor


def _take(weights: _Precise, convolution: str, factor: Factors) -> None:
    weights[f"{convolution}.weight"] /= factor[None, :, None, None]
