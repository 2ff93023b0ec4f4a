"""A student's statistics once it has come to rest (Wu and Johnson 2021, arXiv:2105.07576: PreciseBN).

During a fit BatchNorm's statistics run after weights that move on with every step, and at a high rate they lag, by
chance more or less: one fit's student of epoch 40 had an image AUROC of 0.64 with the statistics of that moment, and of
0.86 with its own. So they are taken anew, from all the images that were learned from, with the weights at rest.
"""

from __future__ import annotations

import math

import numpy as np

from worker.training.data import Samples
from worker.training.framework import on_one_thread, paddle
from worker.training.network import Normalisation, fresh_student
from worker.training.weights import Weights

_BATCH = 16


def settled(student: Weights, learned: Samples) -> Weights:
    """The same parameters with the mean over batches of each batch's mean and variance."""
    on_one_thread()
    network = fresh_student(student)
    network.train()
    norms = [layer for layer in network.sublayers() if isinstance(layer, Normalisation)]
    mixed = np.random.default_rng(0).permutation(len(learned))  # neighbours by name may be of one part
    for done, numbers in enumerate(np.array_split(mixed, math.ceil(len(learned) / _BATCH))):
        for norm in norms:
            norm.momentum = done / (done + 1)
        with paddle.no_grad():
            network(paddle.to_tensor(learned.batch(numbers.tolist())))
    return network.weights()
