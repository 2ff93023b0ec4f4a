"""From scores, maps, masks and kinds to the figures of an evaluation. No file and no model is touched here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from worker.training.dataset.masks import Mask
from worker.training.dataset.samples import GOOD
from worker.training.evaluation.metrics import (
    BestF1,
    Groups,
    Interval,
    Share,
    auroc_interval,
    average_precision,
    best_f1,
)
from worker.training.evaluation.pixels import PixelCounts, PixelFigures
from worker.types import Verdict

Map = npt.NDArray[np.float32]
"""h×w float32."""

JUDGED = (Verdict.OK, Verdict.NG, Verdict.INVALID)
"""The verdicts that an image alone can get, in the order in which they are shown."""


@dataclass(frozen=True, slots=True)
class KindFigures:
    """One kind of defect against all good images, or all kinds together.

    `recall` is the share with the verdict NG: an INVALID one was not found. The others are over the images with a
    finite score, and None where there are none on one side; `pixels` is None without masks.
    """

    kind: str
    verdicts: Mapping[Verdict, int]
    recall: Share
    auroc: Interval | None
    average_precision: float | None
    best_f1: BestF1 | None
    pixels: PixelFigures | None

    @property
    def images(self) -> int:
        """How many there are."""
        return sum(self.verdicts.values())


@dataclass(frozen=True, slots=True)
class Figures:
    """What a model does at a threshold.

    `false_rejects` is the share of NG among the good images that were judged: INVALID ones are left out.
    `bad` is all kinds of defects together; None where there is no defect, and with it all that needs one: recall and
    the ranking cannot be known from good images alone.
    """

    threshold: float
    good: Mapping[Verdict, int]
    false_rejects: Share
    kinds: tuple[KindFigures, ...]
    bad: KindFigures | None

    @property
    def images(self) -> int:
        """How many there are."""
        return sum(self.good.values()) + (self.bad.images if self.bad else 0)

    @property
    def invalid(self) -> int:
        """How many got no verdict on the part."""
        return self.good[Verdict.INVALID] + (self.bad.verdicts[Verdict.INVALID] if self.bad else 0)


class PixelTally:
    """Pixel counts of each kind."""

    def __init__(self) -> None:
        self._counts: dict[str, PixelCounts] = {}

    def add(self, kind: str, anomaly_map: Map, mask: Mask | None) -> None:
        """Count an image in: map h×w float32, mask h×w bool; None: black for a good one, for others not known.

        What is not known is left out, as are a mask of a defect that marks nothing, and maps that are not finite.
        """
        if mask is None and kind == GOOD:
            mask = np.zeros(anomaly_map.shape, bool)
        if mask is None or (kind != GOOD and not mask.any()) or not np.isfinite(anomaly_map).all():
            return
        self._counts.setdefault(kind, PixelCounts()).add(anomaly_map, mask)

    def figures(self, kinds: Iterable[str]) -> PixelFigures | None:
        """Of these kinds of defects with the good images; None where no mask shows a region."""
        parts = [self._counts[kind] for kind in kinds if kind in self._counts]
        if not any(part.regions for part in parts):
            return None
        return PixelCounts.sum_of(*parts, *(self._counts[GOOD],) if GOOD in self._counts else ()).figures()


def figures(
    scores: Sequence[float] | npt.NDArray[np.floating],
    maps: Iterable[Map] | None,
    masks: Iterable[Mask | None] | None,
    kinds: Sequence[str],
    threshold: float,
) -> Figures:
    """The figures of N images, to compare recipes by. Maps and masks are gone through once, one at a time.

    Args:
        scores: N; one that is not finite is INVALID, never OK.
        maps: N h×w float32, such as the scores are the maxima of; None: no pixel metrics.
        masks: N h×w bool, see `PixelTally.add` for None.
        kinds: N; `good`, or the name of the defect.
        threshold: NG is what exceeds it, both as float32.

    Raises:
        ValueError: their numbers or shapes differ.
    """
    tally = PixelTally()
    if maps is not None and masks is not None:
        for kind, anomaly_map, mask in zip(kinds, maps, masks, strict=True):
            tally.add(kind, anomaly_map, mask)
    return figures_of(scores, kinds, [verdict_of(float(score), threshold) for score in scores], threshold, tally)


def figures_of(
    scores: Sequence[float] | npt.NDArray[np.floating],
    kinds: Sequence[str],
    verdicts: Sequence[Verdict],
    threshold: float,
    tally: PixelTally,
) -> Figures:
    """The same where the verdicts and the pixel counts are there already.

    Raises:
        ValueError: scores, kinds and verdicts differ in number.
    """
    if not len(scores) == len(kinds) == len(verdicts):
        raise ValueError(f"{len(scores)} scores, {len(kinds)} kinds and {len(verdicts)} verdicts")
    values, is_bad = np.asarray(scores, np.float32), np.array([kind != GOOD for kind in kinds], bool)
    found: dict[str, Counter[Verdict]] = {GOOD: Counter()}
    for kind, verdict in zip(kinds, verdicts, strict=True):
        found.setdefault(kind, Counter())[verdict] += 1

    def kind_figures(label: str, members: list[str]) -> KindFigures:
        chosen = np.isfinite(values) & np.array([kind == GOOD or kind in members for kind in kinds], bool)
        groups = Groups.of(values[chosen], is_bad[chosen])
        counts = _in_order(sum((found[kind] for kind in members), Counter()))
        return KindFigures(
            kind=label,
            verdicts=counts,
            recall=Share(counts[Verdict.NG], sum(counts.values())),
            auroc=auroc_interval(groups),
            average_precision=average_precision(groups) if groups.total_good else None,
            best_f1=best_f1(groups),
            pixels=tally.figures(members),
        )

    bad = sorted(found.keys() - {GOOD})
    good = _in_order(found[GOOD])
    return Figures(
        threshold=float(np.float32(threshold)),
        good=good,
        false_rejects=Share(good[Verdict.NG], good[Verdict.OK] + good[Verdict.NG]),
        kinds=tuple(kind_figures(kind, [kind]) for kind in bad),
        bad=kind_figures("all", bad) if bad else None,
    )


def verdict_of(score: float, threshold: float) -> Verdict:
    """The verdict on a score, compared in float32 as in serving."""
    if not np.isfinite(score):
        return Verdict.INVALID
    return Verdict.NG if np.float32(score) > np.float32(threshold) else Verdict.OK


def _in_order(counts: Counter[Verdict]) -> dict[Verdict, int]:
    return {verdict: counts[verdict] for verdict in JUDGED}
