"""The threshold for a wanted false-reject rate, from the scores of good images alone.

Nothing is assumed of how scores are distributed: all follows from the order of the scores, as long as the images are
drawn like those to come. Equal scores only make each promise safer, for a frame is rejected above the threshold alone.
See David & Nagaraja, Order Statistics, 7.1 (the bound on the rate) and 7.3 (the frames to come).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

MARGIN = 1.25
"""Factor on the highest score where the images are too few to promise the rate."""

_ROUNDING = 1e-12  # of sums of probabilities
_HALVINGS = 60  # of an interval of length 1: down to a double's own precision


@dataclass(frozen=True, slots=True)
class Calibration:
    """`statistics` describes the scores and the promise, as `bundle.json` keeps it.

    promised        1.0 where the wanted rate holds with `confidence`. 0.0 where there were fewer than `frames_needed`
                    images: then the threshold is the highest score times `margin`, an estimate
    promised_rate   what holds with `confidence`, however many images there were: at most this share of all good frames
                    is rejected in the long run; the wanted rate or less where `promised`
    frames_missing  how many more images it takes to promise the wanted rate
    next_frames     of as many good frames again,
    next_rejected   no more than so many are rejected, with `confidence`
    """

    threshold: float
    statistics: dict[str, float]

    @property
    def promised(self) -> bool:
        """Whether the wanted false-reject rate holds with the wanted confidence."""
        return self.statistics["promised"] == 1.0

    def most_rejected(self, frames: int) -> int:
        """Of so many good frames to come, how many are rejected at most, with the confidence of the calibration."""
        known = self.statistics
        return most_rejected(int(known["frames"]), int(known["above"]), frames, known["confidence"])


def calibrate(scores: Sequence[float], false_reject_rate: float = 0.01, confidence: float = 0.95) -> Calibration:
    """Find the lowest threshold that keeps to the false-reject rate with this confidence.

    It is the order statistic that is an upper confidence bound on the (1 - rate) quantile of the scores. A promise that
    holds in the long run should also be seen to hold: it is a higher one where the rate counted in as many frames again
    would be above the wanted one in more than half of the cases that the confidence leaves. (Where not even the highest
    score does that, from 299 to 500 frames for 1 % at 95 %, that one is taken.)

    Raises:
        ValueError: no scores, scores that are not finite, or a rate or confidence outside 0..1.
    """
    if not (0 < false_reject_rate < 1 and 0 < confidence < 1):
        raise ValueError("false_reject_rate and confidence must lie between 0 and 1")
    ordered = np.sort(np.asarray(scores, np.float32)).astype(np.float64)  # as they are compared when it is applied
    count = len(ordered)
    if not count or not np.isfinite(ordered).all():
        raise ValueError("wanted at least one score, and only finite ones")
    allowed = allowed_above(count, false_reject_rate, confidence)
    promised, above = allowed is not None, allowed or 0
    shown = (1 + confidence) / 2
    while above and most_rejected(count, above, count, shown) > false_reject_rate * count:
        above -= 1
    threshold = float(ordered[-1 - above])
    if not promised:
        threshold = float(np.float32(max(threshold, threshold * MARGIN)))
    needed = frames_needed(false_reject_rate, confidence)
    statistics = {
        "frames": float(count),
        "minimum": float(ordered[0]),
        "median": float(np.median(ordered)),
        "mean": float(ordered.mean()),
        "deviation": float(ordered.std()),
        "maximum": float(ordered[-1]),
        "rejected": float(np.mean(ordered > threshold)),
        "confidence": confidence,
        "promised": float(promised),
        "promised_rate": promised_rate(count, above, confidence),
        "frames_needed": float(needed),
        "frames_missing": float(max(0, needed - count)),
        "above": float(above),
        "margin": 1.0 if promised else MARGIN,
        "next_frames": float(count),
        "next_rejected": float(most_rejected(count, above, count, confidence)),
    }
    return Calibration(threshold, statistics)


def allowed_above(count: int, rate: float, confidence: float) -> int | None:
    """How many of `count` scores may lie above the threshold; None where even the highest promises nothing.

    The number of scores above the true quantile is binomial(count, rate). The score with `above` others above
    it bounds the quantile when more than `above` scores exceed the quantile, so it is enough that
    P(binomial <= above) <= 1 - confidence.
    """
    above = None
    cumulative = 0.0
    for successes in range(count):
        ways = _log_choose(count, successes)
        cumulative += math.exp(ways + successes * math.log(rate) + (count - successes) * math.log1p(-rate))
        if cumulative > 1 - confidence + _ROUNDING:
            break
        above = successes
    return above


def frames_needed(rate: float, confidence: float) -> int:
    """Fewest good images with which the rate can be promised: (1 - rate)^n <= 1 - confidence."""
    return math.ceil(math.log1p(-confidence) / math.log1p(-rate))


def promised_rate(count: int, above: int, confidence: float) -> float:
    """The least rate that a threshold with `above` of `count` scores above it promises with this confidence.

    It solves P(binomial(count, rate) <= above) = 1 - confidence (Clopper & Pearson 1934); for `above` = 0 it is
    1 - (1 - confidence)^(1 / count).
    """
    if above == 0:
        return -math.expm1(math.log1p(-confidence) / count)
    successes = np.arange(above + 1)
    ways = np.array([_log_choose(count, number) for number in successes.tolist()])
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        rate = (low + high) / 2
        if _at_most(ways, successes, count, rate) > 1 - confidence:
            low = rate
        else:
            high = rate
    return high


def most_rejected(count: int, above: int, frames: int, confidence: float) -> int:
    """The fewest rejects that `frames` good frames to come do not exceed with this confidence.

    Where all scores differ, every order of the `count` known and the `frames` new ones is as likely as any other.
    So the number of new ones above the threshold, which has `above` known ones above it, is negative hypergeometric
    (beta-binomial with `above` + 1 and `count` - `above`), for any distribution of scores.
    """
    everything = _log_choose(count + frames, count)
    cumulative = 0.0
    for rejected in range(frames + 1):
        ways = _log_choose(rejected + above, above)
        ways += _log_choose(frames - rejected + count - above - 1, count - above - 1)
        cumulative += math.exp(ways - everything)
        if cumulative >= confidence:
            return rejected
    return frames


def _at_most(ways: npt.NDArray[np.float64], successes: npt.NDArray[np.int_], count: int, rate: float) -> float:
    return float(np.exp(ways + successes * math.log(rate) + (count - successes) * math.log1p(-rate)).sum())


def _log_choose(things: int, chosen: int) -> float:
    return math.lgamma(things + 1) - math.lgamma(chosen + 1) - math.lgamma(things - chosen + 1)
