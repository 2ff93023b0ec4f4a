"""The parity gate: whether an engine's scores of the golden frames agree with paddle's in fp32. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from worker.settings import GateSettings

_FLOOR = 0.01  # of the threshold: below it a score counts as this for the relative error, since nothing depends on it

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Parity:
    """How far scores are from the reference.

    `rank_correlation` is Spearman's. `largest_error` and `shift` are the largest and the median of the relative
    errors, the first without its sign. `flips` is the share of frames with another verdict at the threshold.
    """

    rank_correlation: float
    largest_error: float
    shift: float
    flips: float

    def as_dict(self) -> dict[str, float]:
        """For the log and the metrics."""
        return {name: round(value, 6) for name, value in asdict(self).items()}


def compare(scores: Scores, reference: Scores, threshold: float) -> Parity:
    """Compare N scores with N reference scores, all finite, of the same frames.

    Raises:
        ValueError: there are not as many of one as of the other, or none.
    """
    if scores.shape != reference.shape or not len(scores):
        raise ValueError(f"{len(scores)} scores against {len(reference)}")
    size = np.maximum(np.abs(reference), max(_FLOOR * threshold, float(np.finfo(np.float32).tiny)))
    errors = (scores - reference) / size
    limit = np.float32(threshold)
    return Parity(
        rank_correlation=_spearman(scores, reference),
        largest_error=float(np.abs(errors).max()),
        shift=float(np.median(errors)),
        flips=float(np.mean((scores > limit) != (reference > limit))),
    )


def refusal(parity: Parity, precision: str, gate: GateSettings) -> str:
    """Why an engine with this parity may not be used, naming the limit that it breaks; empty where it may."""
    largest = {"fp32": "max_error_fp32", "int8": "max_error_int8"}.get(precision, "max_error_half")
    if parity.rank_correlation < gate.min_rank_correlation:
        return f"rank correlation {parity.rank_correlation:.5f}: gate.min_rank_correlation {gate.min_rank_correlation}"
    if parity.largest_error > getattr(gate, largest):
        return f"a score is {parity.largest_error:.2%} off: gate.{largest} {getattr(gate, largest):.2%}"
    if abs(parity.shift) > gate.max_shift:
        return f"scores are shifted by {parity.shift:+.2%}: gate.max_shift {gate.max_shift:.2%}"
    if parity.flips > gate.max_flips:
        return f"{parity.flips:.2%} of the verdicts flip: gate.max_flips {gate.max_flips:.2%}"
    return ""


def _spearman(one: Scores, other: Scores) -> float:
    """Rank correlation; 1 where a side has only one value and so no order to disagree with."""
    ranks = [_ranks(values) for values in (one, other)]
    spreads = [float(rank.std()) for rank in ranks]
    if not all(spreads):
        return 1.0
    return float(np.mean((ranks[0] - ranks[0].mean()) * (ranks[1] - ranks[1].mean())) / (spreads[0] * spreads[1]))


def _ranks(values: Scores) -> Scores:
    """Ranks from 0, equal values sharing the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts) - 1
    return np.asarray((last - (counts - 1) / 2)[inverse], np.float64)
