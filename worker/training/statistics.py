"""Which statistics a student is the better with: those that the fit left, or settled ones. Defects painted on good
images tell, so no real one is needed.

Statistics that lag behind the weights make a student that follows its teacher less well. After some fits it finds
hardly anything then; after others, of a teacher that knows photographs, it finds more than one that follows too well,
into defects too.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from worker.training.data import Samples
from worker.training.evaluation.metrics import Groups, auroc
from worker.training.fitting.recipe import RUNNING, SETTLED, Recipe, Statistics
from worker.training.fitting.settle import settled
from worker.training.make import frozen_network, score, write_graph
from worker.training.network import Stfpm
from worker.training.synthetic import synthetic_defects
from worker.training.weights import Weights
from worker.types import Image

_IMAGES = 32
_ROUNDS = 2  # of defects, one of each kind, on each image


@dataclass(frozen=True, slots=True)
class Chosen:
    """The statistics that were taken, and each one's AUROC of painted defects; none where the recipe says which."""

    statistics: Statistics
    painted: dict[Statistics, float]


def resting_network(
    teacher: Weights, student: Weights, recipe: Recipe, learned: Samples, watching: Samples, scratch: Path
) -> tuple[Stfpm, Chosen]:
    """The network of folded teacher weights and a student as a fitter gives it, with the better statistics.

    Args:
        watching: good images that were not learned from; where there are fewer than 32, `learned` ones join them.
        scratch: a folder to write graphs to and delete them; there are none where the recipe says which.
    """
    wanted: list[Statistics] = [SETTLED, RUNNING] if recipe.statistics == "auto" else [recipe.statistics]
    networks = {
        name: frozen_network(teacher, settled(student, learned) if name == SETTLED else student, recipe.layer_weights)
        for name in wanted
    }
    painted = _aurocs(networks, watching, learned, recipe.seed, scratch) if len(networks) > 1 else {}
    best = max(wanted, key=lambda name: painted.get(name, 0.0))
    return networks[best], Chosen(best, painted)


def _aurocs(
    networks: dict[Statistics, Stfpm], watching: Samples, learned: Samples, seed: int, scratch: Path
) -> dict[Statistics, float]:
    """How well each network ranks painted defects above the good images that they are painted on."""
    good = list(islice([*watching.images, *learned.images], _IMAGES))
    random = np.random.default_rng([seed, 23])
    bad = [painted for image in good for _ in range(_ROUNDS) for _, painted, _ in synthetic_defects(image, random)]

    def auroc_of(network: Stfpm) -> float:
        scores = _scores(network, [*good, *bad], learned, scratch)
        if not np.isfinite(scores).all():
            return 0.0
        return auroc(Groups.of(scores, [False] * len(good) + [True] * len(bad))) or 0.0

    return {name: auroc_of(network) for name, network in networks.items()}


def _scores(network: Stfpm, images: Sequence[Image], learned: Samples, scratch: Path) -> list[float]:
    """By the engine that serves, which is many times as fast as the network here."""
    with tempfile.TemporaryDirectory(prefix="tried.", dir=scratch) as folder:
        write_graph(network, Path(folder), learned.transforms)
        return list(score(Path(folder), images))
