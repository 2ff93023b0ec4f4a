"""The metrics of ranking, in numpy: AUROC, average precision, best F1, and their intervals.

All are counted over groups of equal scores, from the highest down, so that ties count as ties: half for the area under
the curve, all at once for precision. Images and pixels take the same way.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

CONFIDENCE = 0.95
"""Of every interval that is reported."""

_Z = 1.959963984540054  # the normal quantile of 0.975
_BISECTIONS = 60  # halves 0..1 down to what a float64 can tell apart

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Groups:
    """Scores that occur, the highest first (float64, G of them), and how many bad and good samples have each."""

    values: Floats
    bad: Floats
    good: Floats

    @classmethod
    def of(cls, scores: npt.ArrayLike, is_bad: npt.ArrayLike) -> Groups:
        """Group N finite scores by value.

        Args:
            scores: N numbers.
            is_bad: N truth values.

        Raises:
            ValueError: they differ in number, or a score is not finite.
        """
        flat, truth = np.asarray(scores, np.float64).ravel(), np.asarray(is_bad, bool).ravel()
        if flat.shape != truth.shape or not np.isfinite(flat).all():
            raise ValueError("wanted as many finite scores as truth values")
        values, place = np.unique(flat, return_inverse=True)
        place = place.ravel()
        bad = np.bincount(place[truth], minlength=len(values)).astype(np.float64)
        good = np.bincount(place[~truth], minlength=len(values)).astype(np.float64)
        return cls(values[::-1], bad[::-1], good[::-1])

    @property
    def total_bad(self) -> float:
        """How many samples are bad."""
        return float(self.bad.sum())

    @property
    def total_good(self) -> float:
        """How many samples are good."""
        return float(self.good.sum())


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and its confidence interval (95 %)."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Share:
    """`count` of `of`, and the exact interval (Clopper-Pearson, 95 %) of the share that it is drawn from."""

    count: int
    of: int

    @property
    def value(self) -> float | None:
        """None of nothing."""
        return self.count / self.of if self.of else None

    @property
    def interval(self) -> tuple[float, float]:
        """(low, high), 0..1; all of 0..1 where nothing was counted."""
        return clopper_pearson(self.count, self.of)


@dataclass(frozen=True, slots=True)
class BestF1:
    """The highest F1 that any threshold gives, and such a threshold (a sample is bad when its score exceeds it).

    It is chosen by the very samples that it is measured on: a bound for comparing models, no threshold for a line.
    """

    value: float
    threshold: float


def auroc(groups: Groups) -> float | None:
    """Area under the ROC curve: how often a bad sample's score is above a good one's, ties half. None for one class."""
    pairs = groups.total_bad * groups.total_good
    if not pairs:
        return None
    good_below = groups.total_good - np.cumsum(groups.good)
    return float(np.sum(groups.bad * (good_below + groups.good / 2)) / pairs)


def average_precision(groups: Groups) -> float | None:
    """Sum over the scores, from the highest, of the recall gained times the precision there. None without bad ones."""
    if not groups.total_bad:
        return None
    found, called = np.cumsum(groups.bad), np.cumsum(groups.bad + groups.good)
    return float(np.sum(groups.bad * found / called) / groups.total_bad)


def best_f1(groups: Groups) -> BestF1 | None:
    """See `BestF1`; of equal ones the highest threshold. None for one class."""
    if not (groups.total_bad and groups.total_good):
        return None
    found, called = np.cumsum(groups.bad), np.cumsum(groups.bad + groups.good)
    values = 2 * found / (groups.total_bad + called)
    best = int(np.argmax(values))
    return BestF1(float(values[best]), _below(groups.values, best))


def roc_curve(groups: Groups) -> tuple[Floats, Floats]:
    """(false-positive rate, true-positive rate), G + 1 points each from (0, 0) to (1, 1). NaN for a class not there."""
    with np.errstate(invalid="ignore"):
        rates = [np.cumsum(counts) / counts.sum() for counts in (groups.good, groups.bad)]
    return np.concatenate(([0.0], rates[0])), np.concatenate(([0.0], rates[1]))


def auroc_interval(groups: Groups) -> Interval | None:
    """The AUROC with its interval by Newcombe's method 5 (Statistics in Medicine 25, 2006, p. 559).

    It asks which true values are compatible with the one found, by their variance after Hanley and McNeil, so it has
    a width where the value is 1 too, and with few samples. None for one class.
    """
    value = auroc(groups)
    if value is None:
        return None
    bad, good = groups.total_bad, groups.total_good
    others = (bad + good) / 2 - 1

    def is_compatible(area: float) -> bool:
        variance = area * (1 - area) * (1 + others * ((1 - area) / (2 - area) + area / (1 + area))) / (bad * good)
        return (value - area) ** 2 <= _Z**2 * variance

    low = 0.0 if value == 0 else _boundary(lambda area: not is_compatible(area), 0.0, value)
    high = 1.0 if value == 1 else _boundary(is_compatible, value, 1.0)
    return Interval(value, low, high)


def clopper_pearson(count: int, of: int) -> tuple[float, float]:
    """The exact interval (95 %) of a binomial share: (low, high) of 0..1.

    Clopper and Pearson, Biometrika 26 (1934): at the ends, so many or more, and so few or fewer, have 2.5 % chance.

    Raises:
        ValueError: not 0 ≤ count ≤ of.
    """
    if not 0 <= count <= of:
        raise ValueError(f"{count} of {of} is no share")
    tail = (1 - CONFIDENCE) / 2
    low = _boundary(lambda share: 1 - _at_most(count - 1, of, share) < tail, 0.0, 1.0) if count else 0.0
    high = _boundary(lambda share: _at_most(count, of, share) > tail, 0.0, 1.0) if count < of else 1.0
    return low, high


def _at_most(count: int, of: int, share: float) -> float:
    """P(binomial(of, share) ≤ count), 0 < share < 1."""
    steps = np.arange(1, of + 1, dtype=np.float64)
    ways = np.concatenate(([0.0], np.cumsum(np.log((of + 1 - steps) / steps))))[: count + 1]
    successes = np.arange(count + 1)
    return float(np.exp(ways + successes * math.log(share) + (of - successes) * math.log1p(-share)).sum())


def _boundary(is_below: Callable[[float], bool], low: float, high: float) -> float:
    """Where, between low and high, this ends to be true."""
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if is_below(middle) else (low, middle)
    return (low + high) / 2


def _below(values: Floats, place: int) -> float:
    """A threshold, as float32 verdicts apply it, between the score at this place and the next lower one."""
    if place + 1 == len(values):
        return 0.0 if values[place] > 0 else float(np.nextafter(np.float32(values[place]), np.float32(-np.inf)))
    middle = float(np.float32((values[place] + values[place + 1]) / 2))
    return middle if values[place + 1] <= middle < values[place] else float(values[place + 1])
