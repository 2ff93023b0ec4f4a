"""The threshold keeps its promise, or says that it cannot make one."""

import math

import numpy as np
import pytest

from worker.training.calibrate import MARGIN, allowed_above, calibrate, frames_needed


def test_frames_needed_is_where_the_maximum_begins_to_promise() -> None:
    assert frames_needed(0.01, 0.95) == 299
    assert allowed_above(298, 0.01, 0.95) is None
    assert allowed_above(299, 0.01, 0.95) == 0


@pytest.mark.parametrize(("count", "rate"), [(500, 0.01), (1000, 0.02), (4000, 0.005)])
def test_the_order_statistic_is_the_lowest_that_promises(count: int, rate: float) -> None:
    def at_most(above: int) -> float:
        return sum(math.comb(count, k) * rate**k * (1 - rate) ** (count - k) for k in range(above + 1))

    above = allowed_above(count, rate, 0.95)

    assert above is not None
    assert at_most(above) <= 0.05 < at_most(above + 1)


def test_the_threshold_is_that_order_statistic() -> None:
    scores = np.random.default_rng(0).permutation(1000).astype(float)
    above = allowed_above(1000, 0.01, 0.95)

    calibration = calibrate(scores.tolist())

    assert above == 4
    assert calibration.threshold == 995.0
    assert calibration.promised
    assert calibration.statistics["rejected"] == 0.004


def test_the_promise_holds_as_often_as_the_confidence_says() -> None:
    # Given uniform scores, a threshold t rejects exactly 1 - t of all parts.
    random = np.random.default_rng(1)

    kept = [1 - calibrate(random.random(400).tolist(), 0.02).threshold <= 0.02 for _ in range(400)]

    assert 0.92 <= np.mean(kept) <= 0.995


def test_too_few_frames_give_an_estimate_that_says_so() -> None:
    calibration = calibrate([0.1, 0.4, 0.2])

    assert calibration.threshold == float(np.float32(0.4 * MARGIN))
    assert not calibration.promised
    assert calibration.statistics["frames_needed"] == 299


@pytest.mark.parametrize("scores", [[], [0.1, math.nan], [math.inf]])
def test_scores_that_mean_nothing_are_refused(scores: list[float]) -> None:
    with pytest.raises(ValueError, match="score"):
        calibrate(scores)
