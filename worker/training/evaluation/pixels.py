"""Pixel metrics over any number of maps, in memory that does not grow with them.

A map's values are counted in bins, not kept: the bits of a float32 are in the order of its value, and its first 22
(sign, exponent, 13 of the mantissa) are its bin, so a bin is 0.012 % wide, whatever the scale of the scores. What that
costs is not guessed: from the bins follows how far a figure can lie from that of all values sorted, and it is reported
with it (`error`; about 1e-5 in practice). Pages of the counts that no value falls into take no memory.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from worker.training.evaluation.metrics import Floats, Groups, auroc, average_precision

PRO_LIMIT = 0.3
"""The false-positive rate up to which PRO is integrated, as MVTec AD's authors do."""

_BITS = 22
_SIGN = np.uint32(0x80000000)


@dataclass(frozen=True, slots=True)
class PixelFigures:
    """Figures over all pixels of `images` maps; None where a class is missing.

    `pro` is the per-region overlap: the mean over the `regions` (8-connected, of each mask) of the share of the region
    that is found, integrated over the false-positive rate of normal pixels from 0 to 0.3, divided by 0.3 (Bergmann
    et al., IJCV 129, 2021). Small regions count as much as large ones, unlike in the AUROC. Each `…_error` is the
    most by which the figure can differ from that of unbinned values.
    """

    images: int
    regions: int
    auroc: float | None
    auroc_error: float
    pro: float | None
    pro_error: float
    average_precision: float | None
    average_precision_error: float


class PixelCounts:
    """Counts of normal and anomalous pixels by value; `sum_of` adds those of several kinds up."""

    def __init__(self) -> None:
        self.images = 0
        self.regions = 0
        self._good = np.zeros(2**_BITS, np.int64)
        self._bad = np.zeros(2**_BITS, np.int64)
        self._overlap = np.zeros(2**_BITS, np.float64)  # the shares of regions that these pixels are

    def add(self, anomaly_map: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_]) -> None:
        """Count a map in.

        Args:
            anomaly_map: H×W float32, finite.
            mask: H×W, where it is anomalous.

        Raises:
            ValueError: their shapes differ, or a value is not finite.
        """
        if anomaly_map.shape != mask.shape or not np.isfinite(anomaly_map).all():
            raise ValueError("wanted finite maps, and masks of their size")
        bins = _bins(anomaly_map)
        self.images += 1
        count, labels, statistics, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
        if count == 1:
            np.add.at(self._good, bins.ravel(), 1)
            return
        shares = 1 / np.maximum(statistics[:, cv2.CC_STAT_AREA], 1)  # no background, where all is anomalous
        self.regions += count - 1
        np.add.at(self._good, bins[~mask], 1)
        np.add.at(self._bad, bins[mask], 1)
        np.add.at(self._overlap, bins[mask], shares[labels[mask]])

    @classmethod
    def sum_of(cls, *parts: PixelCounts) -> PixelCounts:
        """The counts of all these together."""
        total = cls()
        for part in parts:
            total.images += part.images
            total.regions += part.regions
            used = part._used()
            total._good[used] += part._good[used]
            total._bad[used] += part._bad[used]
            total._overlap[used] += part._overlap[used]
        return total

    def figures(self) -> PixelFigures:
        """What the counts say."""
        used = self._used()[::-1]
        groups = Groups(used.astype(np.float64), self._bad[used].astype(float), self._good[used].astype(float))
        overlap = self._overlap[used]
        area = auroc(groups)
        pro = pro_of(groups.good, overlap)
        precision = average_precision(groups)
        return PixelFigures(
            images=self.images,
            regions=self.regions,
            auroc=area,
            auroc_error=0.0 if area is None else _area_error(groups.good, groups.bad),
            pro=pro,
            pro_error=0.0 if pro is None else _pro_error(groups.good, overlap),
            average_precision=precision,
            average_precision_error=0.0 if precision is None else _precision_error(groups, precision),
        )

    def _used(self) -> npt.NDArray[np.int64]:
        return np.flatnonzero(self._good + self._bad)


def pro_of(good: Floats, overlap: Floats, limit: float = PRO_LIMIT) -> float | None:
    """PRO from groups of equal value, the highest first.

    Args:
        good: G counts of normal pixels.
        overlap: G sums of 1 / (area of the region) over anomalous pixels.
        limit: of the false-positive rate.

    Returns:
        0..1; None where there are no normal pixels or no regions.
    """
    if not (good.sum() and overlap.sum()):
        return None
    rate = np.concatenate(([0.0], np.cumsum(good) / good.sum()))
    found = np.concatenate(([0.0], np.cumsum(overlap) / overlap.sum()))
    inside = int(np.searchsorted(rate, limit, side="right"))
    rates = np.append(rate[:inside], limit)
    founds = np.append(found[:inside], np.interp(limit, rate, found))
    return float(np.sum(np.diff(rates) * (founds[1:] + founds[:-1]) / 2) / limit)


def _bins(anomaly_map: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Each value's bin, in the order of the values."""
    bits = np.ascontiguousarray(anomaly_map + np.float32(0), np.float32).view(np.uint32)  # -0 becomes 0
    ordered = np.where(bits & _SIGN, ~bits, bits | _SIGN)
    return (ordered >> np.uint32(32 - _BITS)).astype(np.int64)


def _area_error(good: Floats, weights: Floats) -> float:
    """Within a bin either class may be above the other: half of its pairs, this way or that."""
    return float(np.sum(good * weights) / (2 * good.sum() * weights.sum()))


def _pro_error(good: Floats, overlap: Floats) -> float:
    begun = np.cumsum(good) - good < PRO_LIMIT * good.sum()
    return float(np.sum((good * overlap)[begun]) / (2 * good.sum() * overlap.sum() * PRO_LIMIT))


def _precision_error(groups: Groups, value: float) -> float:
    """Within a bin the anomalous pixels may all stand first, or all last."""
    found, called = np.cumsum(groups.bad), np.cumsum(groups.bad + groups.good)
    first = groups.bad * found / np.maximum(called - groups.good, 1)
    last = groups.bad * (found - groups.bad + 1) / (called - groups.bad + 1)
    most, least = float(first.sum()) / groups.total_bad, float(last.sum()) / groups.total_bad
    return max(most - value, value - least, 0.0)
