"""How many painted defects a model finds at its thresholds: what may be said of recall where no real defect exists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from worker.inference.predictor import Predictor
from worker.settings import Settings
from worker.training.data import read_image
from worker.training.synthetic import KINDS, SMALLEST, STRENGTHS, Mask, synthetic_defects

_SEED = 20_261


@dataclass(slots=True)
class Recall:
    """Of `painted` defects of one kind and strength the labelMap covered some of `found`."""

    painted: int = 0
    found: int = 0


def synthetic_recall(
    predictor: Predictor,
    paths: Sequence[Path],
    cameras: Sequence[str],
    settings: Settings,
    advance: Callable[[], None] = lambda: None,
) -> dict[tuple[str, str], Recall]:
    """Paint a defect of each kind and strength on each image, and have the model look for it.

    A rejection for something elsewhere in the image does not count: the labelMap must touch the defect.

    Args:
        paths, cameras: good images and the camera of each, whose threshold is in force.

    Returns:
        By (kind, strength), in the order of `KINDS` and `STRENGTHS`.

    Raises:
        SourceError: an image cannot be read.
    """
    recalls = {(kind, strength): Recall() for kind in KINDS for strength in STRENGTHS}
    for number, (path, camera) in enumerate(zip(paths, cameras, strict=True)):
        image = read_image(path, settings.limits)
        advance()
        if min(image.shape[:2]) < SMALLEST:
            continue
        for place, strength in enumerate(STRENGTHS):
            random = np.random.default_rng([_SEED, number, place])
            painted = list(synthetic_defects(image, random, strength))
            predictions = predictor.predict([picture for _, picture, _ in painted], camera)
            for (kind, _, mask), prediction in zip(painted, predictions, strict=True):
                recalls[kind, strength].painted += 1
                recalls[kind, strength].found += touches(prediction.label_map, mask)
    return recalls


def touches(label_map: npt.NDArray[np.uint8], mask: Mask) -> bool:
    """Whether a labelMap (h×w) and a mask of the image (H×W) have a place in common, however thin the defect is."""
    height, width = label_map.shape
    share = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    return bool(((share > 0) & (label_map > 0)).any())
