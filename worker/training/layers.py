"""Which layers' distances tell a defect best: tried on defects painted on good images.

The first layer sees grain and edges. On rough or varied surfaces its distances are mostly noise; on smooth ones it
finds the finest marks. No real defect is needed to tell which it is.
"""

from __future__ import annotations

from itertools import islice

import numpy as np
import numpy.typing as npt

from worker.inference.postprocess import eroded
from worker.training.data import Samples
from worker.training.evaluation.metrics import Groups, auroc
from worker.training.fitting.recipe import ALL_LAYERS, Layers
from worker.training.framework import F, paddle
from worker.training.network import Stfpm, distances
from worker.training.synthetic import synthetic_defects

CANDIDATES: tuple[Layers, ...] = ((2, 3), ALL_LAYERS)
"""Of equally good ones the first is taken."""

_IMAGES = 32
_ROUNDS = 2  # of defects, one of each kind, on each image
_BATCH = 8


def choose_layers(network: Stfpm, watching: Samples, learned: Samples, seed: int) -> tuple[Layers, dict[Layers, float]]:
    """The candidate that ranks painted defects highest above good images, and the AUROC of each.

    Args:
        watching: good images that were not learned from; where there are fewer than 32, `learned` ones join them.
    """
    good = list(islice([*watching.images, *learned.images], _IMAGES))
    random = np.random.default_rng([seed, 23])
    bad = [painted for image in good for _ in range(_ROUNDS) for _, painted, _ in synthetic_defects(image, random)]
    scores = [scores_by_layers(network, Samples(images, learned.transforms)) for images in (good, bad)]
    is_bad = [False] * len(good) + [True] * len(bad)
    found = {layers: auroc(Groups.of(scores[0][layers] + scores[1][layers], is_bad)) or 0.0 for layers in CANDIDATES}
    return max(found, key=lambda layers: found[layers]), found


def scores_by_layers(network: Stfpm, samples: Samples) -> dict[Layers, list[float]]:
    """The score of each image, did these layers alone count."""
    scores: dict[Layers, list[float]] = {layers: [] for layers in CANDIDATES}
    for start in range(0, len(samples), _BATCH):
        inputs = paddle.to_tensor(samples.batch(range(start, min(len(samples), start + _BATCH))))
        with paddle.no_grad():
            layered = distances(network.teacher(inputs), network.student(inputs))
            wide = [F.interpolate(one, size=inputs.shape[2:], mode="bilinear").numpy()[:, 0] for one in layered]
        for layers in CANDIDATES:
            maps: npt.NDArray[np.float32] = np.prod([wide[layer - 1] for layer in layers], axis=0)
            scores[layers] += [float(eroded(one).max()) for one in maps]
    return scores
