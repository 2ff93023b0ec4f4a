"""What a report shows of single images: the photograph, the heatmap over it, the mask's outline on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import cv2
import numpy as np
import numpy.typing as npt

from worker.inference.pictures import coloured, encoded, logarithmic, outline
from worker.inference.postprocess import eroded, opened
from worker.inference.predictor import Predictor
from worker.settings import LimitSettings
from worker.training.data import read_image
from worker.training.evaluation.evaluate import Evaluation, Judgement
from worker.training.evaluation.figures import Map
from worker.training.evaluation.masks import at_size, mask_of
from worker.types import Image, Verdict

MISSES, FALSE_REJECTS, HITS = 12, 12, 6
"""How many of each are shown at most."""

_SIDE = 288  # pixels of a panel's longer side
_QUALITY = 80
_BATCH = 4
_TRUTH, _FOUND = (56, 224, 88), (255, 64, 160)  # RGB
_FAINTEST = 0.25  # of a usual good image's score: where the colours begin


@dataclass(frozen=True, slots=True)
class Picture:
    """One image's three panels, each a JPEG."""

    judgement: Judgement
    photograph: bytes
    heatmap: bytes
    outline: bytes

    @property
    def size(self) -> int:
        """Bytes of all three."""
        return len(self.photograph) + len(self.heatmap) + len(self.outline)


@dataclass(frozen=True, slots=True)
class Scale:
    """Scores to colours, the same for all pictures: by the logarithm, from `low` (no colour) to `high`."""

    low: float
    high: float

    @classmethod
    def of(cls, evaluation: Evaluation) -> Scale:
        """From a quarter of a usual good image's score to twice the threshold, or the highest score there is."""
        scores = [one.score for one in evaluation.judgements if np.isfinite(one.score)]
        good = [one.score for one in evaluation.judgements if np.isfinite(one.score) and one.sample.is_good]
        highest = max(2 * evaluation.figures.threshold, 1e-12)
        usual = float(np.median(good or scores or [highest]))
        low = min(max(_FAINTEST * usual, 1e-6 * highest), highest / 4)
        return cls(low, highest)

    def of_map(self, values: Map) -> npt.NDArray[np.float32]:
        """0..1, the shape of the map's."""
        return logarithmic(values, self.low, self.high)


def worst_misses(evaluation: Evaluation) -> list[Judgement]:
    """Images of defects that were called OK, the lowest score first."""
    missed = [one for one in evaluation.judgements if not one.sample.is_good and one.verdict is Verdict.OK]
    return sorted(missed, key=lambda one: one.score)[:MISSES]


def worst_false_rejects(evaluation: Evaluation) -> list[Judgement]:
    """Images of good parts that were called NG, the highest score first."""
    rejected = [one for one in evaluation.judgements if one.sample.is_good and one.verdict is Verdict.NG]
    return sorted(rejected, key=lambda one: -one.score)[:FALSE_REJECTS]


def some_hits(evaluation: Evaluation) -> list[Judgement]:
    """Images of defects that were found, from the clearest to the narrowest."""
    found = [one for one in evaluation.judgements if not one.sample.is_good and one.verdict is Verdict.NG]
    found.sort(key=lambda one: -one.score)
    places = np.linspace(0, len(found) - 1, min(HITS, len(found))).round().astype(int)
    return [found[place] for place in places]


def draw(
    judgements: Sequence[Judgement], predictor: Predictor, scale: Scale, limits: LimitSettings
) -> Iterator[Picture]:
    """The pictures of these images, which are read and inferred again: their maps were not kept.

    Raises:
        SourceError: an image or mask cannot be read any more.
        EngineError: the device failed.
    """
    waiting = iter(judgements)
    while batch := list(islice(waiting, _BATCH)):
        images = [read_image(one.sample.path, limits) for one in batch]
        maps = predictor.infer([predictor.preprocess(image) for image in images])
        for one, image, anomaly_map in zip(batch, images, maps, strict=True):
            yield _picture(one, image, opened(eroded(anomaly_map)), predictor.threshold, scale, limits)


def _picture(
    one: Judgement, image: Image, opened_map: Map, threshold: float, scale: Scale, limits: LimitSettings
) -> Picture:
    small = _small(image)
    size = small.shape[1], small.shape[0]
    heat = cv2.resize(scale.of_map(opened_map), size, interpolation=cv2.INTER_LINEAR)
    label_map = cv2.resize((opened_map > np.float32(threshold)).astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    outlined = small.copy()
    if one.sample.mask is not None and not one.sample.is_good:
        mask = mask_of(one.sample.path, one.sample.mask, (image.shape[0], image.shape[1]), limits)
        around = cv2.dilate(at_size(mask, (size[1], size[0])).astype(np.uint8), np.ones((5, 5), np.uint8))
        outline(outlined, around, _TRUTH)  # around it: a thin crack shall stay in sight
    outline(outlined, label_map, _FOUND)
    panels = (encoded(panel, ".jpg", _QUALITY) for panel in (small, coloured(small, heat), outlined))
    return Picture(one, *panels)


def _small(image: Image) -> Image:
    """At most _SIDE pixels a side; small images grow, so that all are seen alike."""
    factor = _SIDE / max(image.shape[:2])
    size = max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor))
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, size, interpolation=how), np.uint8)
