"""The metrics of ranking agree with scikit-learn's, the intervals with scipy's and with chance itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score, roc_curve

from worker.training.evaluation import metrics
from worker.training.evaluation.metrics import Groups, Share, clopper_pearson

# Few values, so that ties are the rule, beside any float32 at all.
_SCORE = st.sampled_from([0.0, 0.125, 0.25, 1.0, 2.0**-60, -3.0]) | st.floats(-(2.0**99), 2.0**99, width=32)
_SAMPLES = st.lists(st.tuples(_SCORE, st.booleans()), min_size=2, max_size=60)
_BOTH = _SAMPLES.filter(lambda samples: len({is_bad for _, is_bad in samples}) == 2)
_Samples = list[tuple[float, bool]]


def _apart(samples: _Samples) -> tuple[list[float], list[bool]]:
    return [score for score, _ in samples], [is_bad for _, is_bad in samples]


@given(_BOTH)
def test_auroc_and_average_precision_are_those_of_scikit_learn(samples: _Samples) -> None:
    scores, is_bad = _apart(samples)
    groups = Groups.of(scores, is_bad)

    assert metrics.auroc(groups) == pytest.approx(roc_auc_score(is_bad, scores), abs=1e-12)
    assert metrics.average_precision(groups) == pytest.approx(average_precision_score(is_bad, scores), abs=1e-12)


@given(_BOTH)
def test_the_roc_is_that_of_scikit_learn(samples: _Samples) -> None:
    scores, is_bad = _apart(samples)
    wanted = roc_curve(is_bad, scores, drop_intermediate=False)[:2]

    for found, one in zip(metrics.roc_curve(Groups.of(scores, is_bad)), wanted, strict=True):
        np.testing.assert_allclose(found, one, atol=1e-12)


@given(_BOTH)
@settings(max_examples=40)
def test_the_best_f1_is_what_its_threshold_gives_and_no_other_gives_more(samples: _Samples) -> None:
    scores, is_bad = _apart(samples)

    best = metrics.best_f1(Groups.of(scores, is_bad))

    assert best is not None
    called = np.float32(scores) > np.float32(best.threshold)
    assert f1_score(is_bad, called, zero_division=0) == pytest.approx(best.value)
    others = [f1_score(is_bad, np.array(scores) >= score, zero_division=0) for score in scores]
    assert best.value == pytest.approx(max(others))


@given(_SAMPLES, st.booleans())
def test_one_class_alone_says_nothing(samples: _Samples, is_bad: bool) -> None:
    groups = Groups.of([score for score, _ in samples], [is_bad] * len(samples))

    assert metrics.auroc(groups) is None
    assert metrics.auroc_interval(groups) is None
    assert metrics.best_f1(groups) is None
    assert metrics.average_precision(groups) == (1.0 if is_bad else None)


def test_nothing_says_nothing() -> None:
    groups = Groups.of([], [])

    assert metrics.auroc(groups) is None
    assert metrics.average_precision(groups) is None
    assert Share(0, 0).value is None
    assert Share(0, 0).interval == (0.0, 1.0)


@pytest.mark.parametrize("score", [float("nan"), float("inf")])
def test_scores_that_are_not_finite_are_refused(score: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        Groups.of([0.1, score], [True, False])


@given(st.integers(0, 400).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of))))
def test_the_interval_of_a_share_is_clopper_pearsons(share: tuple[int, int]) -> None:
    count, of = share
    if of:
        exact = binomtest(count, of).proportion_ci(0.95, "exact")
        assert clopper_pearson(count, of) == pytest.approx((exact.low, exact.high), abs=1e-9)


def test_the_interval_of_a_share_stands_many_samples() -> None:
    exact = binomtest(1, 200_000).proportion_ci(0.95, "exact")

    assert clopper_pearson(1, 200_000) == pytest.approx((exact.low, exact.high), rel=1e-4)


@pytest.mark.parametrize("shift", [0.0, 1.2, 3.0])
def test_the_interval_of_the_auroc_holds_the_true_value(shift: float) -> None:
    # Given scores of good and bad images that are normal, `shift` deviations apart,
    random = np.random.default_rng(4)
    truth = float(np.mean(random.normal(shift, 1, 400_000) > random.normal(0, 1, 400_000)))
    held = []
    for _ in range(300):
        scores = np.concatenate([random.normal(0, 1, 30), random.normal(shift, 1, 20)])
        found = metrics.auroc_interval(Groups.of(scores, np.arange(50) >= 30))
        assert found is not None
        assert 0 <= found.low <= found.value <= found.high <= 1
        held.append(found.low <= truth <= found.high)

    # I expect about 95 of 100 intervals to hold it.
    assert 0.91 <= np.mean(held) <= 0.995


def test_the_interval_of_a_perfect_auroc_is_not_a_point() -> None:
    found = metrics.auroc_interval(Groups.of([1, 2, 3, 4, 5, 6], [0, 0, 0, 1, 1, 1]))

    assert found is not None
    assert (found.value, found.high) == (1.0, 1.0)
    assert 0.3 < found.low < 0.9
