"""The threshold for a wanted false-reject rate, from the scores of good images alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MARGIN = 1.25
"""Factor on the highest score where the images are too few to promise the rate."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """`statistics` describes the scores and the promise, as `bundle.json` keeps it.

    `promised` is 1.0 where the wanted rate holds with `confidence`; 0.0 where there were fewer than
    `frames_needed` images, and the threshold is then the highest score times `margin`, an estimate.
    """

    threshold: float
    statistics: dict[str, float]

    @property
    def promised(self) -> bool:
        """Whether the wanted false-reject rate holds with the wanted confidence."""
        return self.statistics["promised"] == 1.0


def calibrate(scores: Sequence[float], false_reject_rate: float = 0.01, confidence: float = 0.95) -> Calibration:
    """Find the lowest threshold that keeps to the false-reject rate with this confidence.

    It is the order statistic that is an upper confidence bound on the (1 - rate) quantile, for any
    distribution of scores, as long as the images are drawn like those to come (David & Nagaraja, Order
    Statistics, 7.1). A frame is rejected when its score exceeds the threshold.

    Raises:
        ValueError: no scores, scores that are not finite, or a rate or confidence outside 0..1.
    """
    if not (0 < false_reject_rate < 1 and 0 < confidence < 1):
        raise ValueError("false_reject_rate and confidence must lie between 0 and 1")
    ordered = np.sort(np.asarray(scores, np.float64))
    if not len(ordered) or not np.isfinite(ordered).all():
        raise ValueError("wanted at least one score, and only finite ones")
    above = allowed_above(len(ordered), false_reject_rate, confidence)
    promised = above is not None
    threshold = ordered[-1 - above] if above is not None else ordered[-1] * MARGIN
    statistics = {
        "frames": float(len(ordered)),
        "minimum": float(ordered[0]),
        "median": float(np.median(ordered)),
        "mean": float(ordered.mean()),
        "deviation": float(ordered.std()),
        "maximum": float(ordered[-1]),
        "rejected": float(np.mean(ordered > threshold)),
        "confidence": confidence,
        "promised": float(promised),
        "frames_needed": float(frames_needed(false_reject_rate, confidence)),
        "margin": 1.0 if promised else MARGIN,
    }
    return Calibration(float(np.float32(threshold)), statistics)  # float32, as maps are when it is applied


def allowed_above(count: int, rate: float, confidence: float) -> int | None:
    """How many of `count` scores may lie above the threshold; None where even the highest promises nothing.

    The number of scores above the true quantile is binomial(count, rate). The score with `above` others above
    it bounds the quantile when more than `above` scores exceed the quantile, so it is enough that
    P(binomial <= above) <= 1 - confidence.
    """
    above = None
    cumulative = 0.0
    for successes in range(count):
        cumulative += math.exp(_log_binomial(count, successes, rate))
        if cumulative > 1 - confidence:
            break
        above = successes
    return above


def frames_needed(rate: float, confidence: float) -> int:
    """Fewest good images with which the rate can be promised: (1 - rate)^n <= 1 - confidence."""
    return math.ceil(math.log(1 - confidence) / math.log(1 - rate))


def _log_binomial(count: int, successes: int, rate: float) -> float:
    ways = math.lgamma(count + 1) - math.lgamma(successes + 1) - math.lgamma(count - successes + 1)
    return ways + successes * math.log(rate) + (count - successes) * math.log1p(-rate)
