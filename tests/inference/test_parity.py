"""The gate: what agrees passes, what is off in any of four ways is refused by the limit that it breaks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from worker.inference.selection.choose import Candidate, fastest, judge
from worker.inference.selection.measure import Measurement
from worker.inference.selection.parity import Scores, compare, refusal
from worker.settings import GateSettings

GATE = GateSettings()
THRESHOLD = 0.5


@pytest.fixture
def reference() -> Scores:
    return np.exp(np.random.default_rng(0).normal(-2, 1, 64))


def found(scores: Scores, reference: Scores, precision: str = "fp32", gate: GateSettings = GATE) -> str:
    return refusal(compare(scores, reference, THRESHOLD), precision, gate)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16", "int8"])
def test_equal_scores_pass_and_one_percent_off_never_does(precision: str, reference: Scores) -> None:
    assert found(reference, reference, precision) == ""
    for wrong in (1.01, 0.99):
        assert found(reference * wrong, reference, precision)


def test_noise_passes_as_far_as_the_precision_may_have_it(reference: Scores) -> None:
    noisy = reference * (1 + np.random.default_rng(1).uniform(-0.04, 0.04, 64))
    noisy = np.where((noisy > THRESHOLD) == (reference > THRESHOLD), noisy, reference)
    noisy *= 1 - compare(noisy, reference, THRESHOLD).shift
    assert "gate.max_error_fp32" in found(noisy, reference, "fp32")
    assert found(noisy, reference, "bf16") == found(noisy, reference, "int8") == ""


def test_one_frame_far_off_is_enough(reference: Scores) -> None:
    reference[5] = 0.2
    wrong = reference.copy()
    wrong[5] = 0.14
    assert "30.00% off: gate.max_error_int8" in found(wrong, reference, "int8")
    assert found(wrong, reference, "int8", GateSettings(max_error_int8=0.4)) == ""


def test_flips_are_counted_at_the_threshold_in_force(reference: Scores) -> None:
    near = np.where(np.arange(64) < 4, 0.4999, 0.1 + 0.001 * np.arange(64))
    wrong = np.where(np.arange(64) < 4, 0.5001, near)
    assert "6.25% of the verdicts flip: gate.max_flips" in found(wrong, near)
    assert compare(wrong, near, 0.6).flips == 0


def test_a_shuffled_order_is_refused() -> None:
    close = 0.1 + 1e-3 * np.arange(64)
    assert "gate.min_rank_correlation" in found(close[::-1], close, "int8", GateSettings(max_error_int8=9))


def test_the_rank_correlation_is_scipys(reference: Scores) -> None:
    random = np.random.default_rng(2)
    for _ in range(20):
        other = np.round(reference * random.uniform(0.5, 2, 64), 1)
        expected = stats.spearmanr(other, reference).statistic
        assert compare(other, reference, 1.0).rank_correlation == pytest.approx(expected)
    assert compare(np.ones(4), np.ones(4), 1.0).rank_correlation == 1.0


def test_scores_of_other_frames_are_no_comparison(reference: Scores) -> None:
    with pytest.raises(ValueError, match="63 scores against 64"):
        compare(reference[1:], reference, THRESHOLD)


def candidate(frame_ms: float, engine: str = "openvino", precision: str = "fp32", refused: str = "") -> Candidate:
    return Candidate(
        judge(Measurement(engine, precision, [1.0], 1.0), np.ones(1), 1.0, GATE).variant, frame_ms, None, refused
    )


def test_the_fastest_that_passed_is_taken_and_the_more_exact_where_it_is_as_fast() -> None:
    paddle, fast, faster = candidate(40, "paddle"), candidate(10.4), candidate(10, precision="bf16")
    refused = candidate(2, precision="int8", refused="far off")
    assert fastest([paddle, fast, faster, refused]) is fast
    assert fastest([paddle, candidate(11), faster, refused]) is faster
    assert fastest([refused]) is None
