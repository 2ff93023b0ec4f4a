"""Pixel metrics agree with scikit-learn's and with a plain PRO, within the error that they report."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import label
from sklearn.metrics import average_precision_score, roc_auc_score

from worker.training.dataset.masks import Mask
from worker.training.evaluation.figures import Map
from worker.training.evaluation.pixels import PixelCounts

Pairs = list[tuple[Map, Mask]]


def pairs(seed: int, count: int = 4, side: int = 14, levels: int = 0) -> Pairs:
    """Maps and masks with regions of all sizes that touch at corners too; `levels` makes ties."""
    random = np.random.default_rng(seed)
    made: Pairs = []
    for number in range(count):
        mask = random.random((side, side)) < (0.15 if number else 0.0)
        values = 10 ** random.uniform(-6, 2) * random.random((side, side)) ** 3 * np.where(mask, 2.0, 1.0)
        if levels:
            values = np.floor(random.random((side, side)) * levels + mask)
        made.append((values.astype(np.float32), mask))
    return made


def counted(some: Pairs) -> PixelCounts:
    counts = PixelCounts()
    for anomaly_map, mask in some:
        counts.add(anomaly_map, mask)
    return counts


def plain_pro(some: Pairs, limit: float = 0.3) -> float:
    """PRO by its definition: a threshold at every value, the regions one by one, trapezoids up to the limit."""
    regions = []
    for anomaly_map, mask in some:
        labels = label(mask, connectivity=2)
        regions += [anomaly_map[labels == number] for number in range(1, labels.max() + 1)]
    normal = np.concatenate([anomaly_map[~mask] for anomaly_map, mask in some])
    values = np.unique(np.concatenate([anomaly_map.ravel() for anomaly_map, _ in some]))[::-1]
    points = [(0.0, 0.0)]
    for value in values:
        overlap = float(np.mean([np.mean(region >= value) for region in regions]))
        points.append((float(np.mean(normal >= value)), overlap))
    area = 0.0
    for (x0, y0), (x1, y1) in pairwise(points):
        if x1 <= limit:
            area += (x1 - x0) * (y0 + y1) / 2
        elif x0 < limit:
            at_limit = y0 + (y1 - y0) * (limit - x0) / (x1 - x0)
            area += (limit - x0) * (y0 + at_limit) / 2
    return area / limit


@pytest.mark.parametrize("levels", [0, 2, 5])
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=6, deadline=None)
def test_they_agree_with_plain_references_within_the_error_reported(levels: int, seed: int) -> None:
    some = pairs(seed, levels=levels)
    values = np.concatenate([anomaly_map.ravel() for anomaly_map, _ in some])
    truth = np.concatenate([mask.ravel() for _, mask in some])

    found = counted(some).figures()

    assert found.auroc == pytest.approx(roc_auc_score(truth, values), abs=found.auroc_error + 1e-9)
    assert found.pro == pytest.approx(plain_pro(some), abs=found.pro_error + 1e-9)
    precision = average_precision_score(truth, values)
    assert found.average_precision == pytest.approx(precision, abs=found.average_precision_error + 1e-9)
    if not levels:
        # Small sets have few values a bin, but for chance.
        assert max(found.auroc_error, found.pro_error) < 1e-3


def test_a_region_counts_the_same_however_large_it_is() -> None:
    # Given a large region that is found and a small one that is not, over normal pixels that are all lower,
    mask = np.zeros((40, 40), bool)
    mask[:20, :20], mask[30, 30] = True, True
    anomaly_map = np.where(mask, np.float32(2), np.float32(1)).astype(np.float32)
    anomaly_map[30, 30] = 0

    found = counted([(anomaly_map, mask)]).figures()

    # I expect half of the regions at no false positive, and the second only behind all normal pixels.
    assert found.regions == 2
    assert found.pro == pytest.approx(0.5, abs=found.pro_error + 0.3 * 0.5 / 2)
    assert found.pro == pytest.approx(plain_pro([(anomaly_map, mask)]), abs=1e-9)


def test_regions_that_meet_at_a_corner_are_one() -> None:
    assert counted([(np.eye(4, dtype=np.float32), np.eye(4, dtype=bool))]).figures().regions == 1


def test_the_order_of_any_float_is_kept() -> None:
    values = np.array([[-1e30, -2.0, -1e-40, -0.0, 0.0, 1e-40, 0.5, 3e38]], np.float32)

    found = counted([(values, values >= 0)]).figures()

    # -0 and 0 are one value: three of the five anomalous pixels are above all normal ones, and so on.
    assert found.auroc == pytest.approx(roc_auc_score((values >= 0).ravel(), values.ravel()), abs=found.auroc_error)


def test_the_sum_of_kinds_is_all_together() -> None:
    some = pairs(11)

    assert PixelCounts.sum_of(counted(some[:1]), counted(some[1:])).figures() == counted(some).figures()


def test_without_a_region_or_a_normal_pixel_nothing_is_known() -> None:
    values = np.ones((3, 3), np.float32)

    for mask in (np.zeros((3, 3), bool), np.ones((3, 3), bool)):
        found = counted([(values, mask)]).figures()
        assert found.auroc is None
        assert found.pro is None
    assert PixelCounts().figures().auroc is None


@pytest.mark.parametrize(
    ("anomaly_map", "mask"),
    [
        (np.zeros((2, 2), np.float32), np.zeros((2, 3), bool)),
        (np.full((2, 2), np.nan, np.float32), np.zeros((2, 2), bool)),
    ],
)
def test_what_cannot_be_counted_is_refused(anomaly_map: Map, mask: Mask) -> None:
    with pytest.raises(ValueError, match="finite maps"):
        PixelCounts().add(anomaly_map, mask)


def test_memory_does_not_grow_with_the_maps() -> None:
    counts = counted(pairs(1, count=2, side=256))
    tracemalloc.start()
    try:
        for anomaly_map, mask in pairs(2, count=2, side=256):
            for _ in range(20):
                counts.add(anomaly_map, mask)
        kept = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()

    assert kept < 1_000_000
