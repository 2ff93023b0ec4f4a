"""A teacher that learned nothing: drawn by a seed, and settled on some of the good images."""

from __future__ import annotations

from worker.training.data import Samples
from worker.training.framework import paddle
from worker.training.network import Normalisation, fresh_student
from worker.training.weights import Weights, draw, fold

_SETTLING_IMAGES = 32


def random_teacher(seed: int, samples: Samples) -> Weights:
    """Folded weights drawn by `seed`, with each channel's mean and spread over some good images taken out.

    Without that, a random network's features all point nearly the same way and show no defect.
    """
    backbone = fresh_student(draw(seed))
    for layer in backbone.sublayers():
        if isinstance(layer, Normalisation):
            layer.momentum = 0.0  # take this batch's statistics as they are
    backbone.train()
    with paddle.no_grad():
        backbone(paddle.to_tensor(samples.batch(range(min(len(samples), _SETTLING_IMAGES)))))
    return fold(backbone.weights())
