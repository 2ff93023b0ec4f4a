"""Which statistics a student is the better with: those that the fit left, or settled ones. Defects painted on good
images tell, so no real one is needed.

Statistics that lag behind the weights make a student that follows its teacher less well. After some fits it finds
hardly anything then; after others, of a teacher that knows photographs, it finds more than one that follows too well,
into defects too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from worker.inference.postprocess import eroded
from worker.training.data import Samples
from worker.training.evaluation.metrics import Groups, auroc
from worker.training.fitting.recipe import RUNNING, SETTLED, Recipe, Statistics
from worker.training.fitting.settle import settled
from worker.training.framework import paddle
from worker.training.make import frozen_network
from worker.training.network import Stfpm
from worker.training.synthetic import synthetic_defects
from worker.training.weights import Weights

_IMAGES = 32
_ROUNDS = 2  # of defects, one of each kind, on each image
_BATCH = 8


@dataclass(frozen=True, slots=True)
class Chosen:
    """The statistics that were taken, and each one's AUROC of painted defects; none where the recipe says which."""

    statistics: Statistics
    painted: dict[Statistics, float]


def resting_network(
    teacher: Weights, student: Weights, recipe: Recipe, learned: Samples, watching: Samples
) -> tuple[Stfpm, Chosen]:
    """The network of folded teacher weights and a student as a fitter gives it, with the better statistics.

    Args:
        watching: good images that were not learned from; where there are fewer than 32, `learned` ones join them.
    """
    wanted: list[Statistics] = [SETTLED, RUNNING] if recipe.statistics == "auto" else [recipe.statistics]
    networks = {
        name: frozen_network(teacher, settled(student, learned) if name == SETTLED else student, recipe.layer_weights)
        for name in wanted
    }
    painted = _aurocs(networks, watching, learned, recipe.seed) if len(networks) > 1 else {}
    best = max(wanted, key=lambda name: painted.get(name, 0.0))
    return networks[best], Chosen(best, painted)


def _aurocs(
    networks: dict[Statistics, Stfpm], watching: Samples, learned: Samples, seed: int
) -> dict[Statistics, float]:
    """How well each network ranks painted defects above the good images that they are painted on."""
    good = list(islice([*watching.images, *learned.images], _IMAGES))
    random = np.random.default_rng([seed, 23])
    bad = [painted for image in good for _ in range(_ROUNDS) for _, painted, _ in synthetic_defects(image, random)]
    samples = Samples([*good, *bad], learned.transforms)
    is_bad = [False] * len(good) + [True] * len(bad)
    return {name: auroc(Groups.of(list(_scores(one, samples)), is_bad)) or 0.0 for name, one in networks.items()}


def _scores(network: Stfpm, samples: Samples) -> Iterator[float]:
    for start in range(0, len(samples), _BATCH):
        with paddle.no_grad():
            maps = network(paddle.to_tensor(samples.batch(range(start, min(len(samples), start + _BATCH))))).numpy()
        yield from (float(eroded(one).max()) for one in maps[:, 0])
