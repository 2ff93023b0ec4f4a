"""Images that are there twice, and tests that are nearly the same picture as one that was learned from.

Photographs of a fixed camera are all nearly alike, and so are two parts in the same pose: likeness alone says nothing.
What only a copy shares with its original is the fine structure of the surface. So: the candidates are the images whose
fine structure correlates best once what all have in common is taken out; each pair is laid over each other to a
fraction of a pixel, and each small block of the two is correlated. What that must be is seen from images that look
alike and are taken to differ, those behind the nearer half of an image's neighbours: the third of the blocks in which
they are least alike counts (no background, no edges), and the middle one of it must be far above theirs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from worker.training.dataset.looks import SIDE, Grey, Look, Plane, band

_FINGERPRINT_SIDE = 64
_USUAL = 1000  # images that say what all have in common
_CANDIDATES = 8
_DIFFERENT = 8  # among an image's neighbours: looks alike, and is not the same part once more;
_OF_ALL = 2  # or the one behind the half of all, where there are more shots of a part than that
_PAIRS = 200  # of such
_BEYOND = 5.0  # standard deviations above those pairs, in Fisher's z
_LEAST = 0.8  # correlation, whatever those pairs say
_CLOSEST = 0.9995  # what such a limit is at most: a copy is beyond in any set
_REACH = 6.0  # pixels of SIDE that a copy may be shifted
_MARGIN, _CELL = 8, 16  # pixels: what a shift may bring in from outside; a block
_NOISE = 0.05  # grey levels squared that rounding alone makes
_BLOCK = 512


@dataclass(frozen=True, slots=True)
class NearDuplicate:
    """Test `test` is nearly the picture `learned`; `likeness` is the correlation of their fine structure, up to 1."""

    test: int
    learned: int
    likeness: float


def same_pixels(looks: Sequence[Look | None]) -> list[list[int]]:
    """Groups of the numbers of images with the same pixels, in order."""
    groups = defaultdict(list)
    for index, look in enumerate(looks):
        if look is not None:
            groups[look.digest].append(index)
    return [group for group in groups.values() if len(group) > 1]


def near_duplicates(greys: Grey, learned: Sequence[int], tests: Sequence[int]) -> list[NearDuplicate]:
    """For each of `tests` the image of `learned` that it is nearly the same as, if there is one; the likest first.

    Args:
        greys: N×SIDE×SIDE uint8.
        learned, tests: numbers in `greys`, without a pair of the same pixels.
    """
    if not learned or not tests:
        return []
    fingerprints = _Fingerprints(greys, learned)
    telling, limit = _yardstick(greys, learned, fingerprints)
    found = []
    for test, candidates in zip(tests, fingerprints.nearest(tests, _CANDIDATES), strict=True):
        ones = [learned[place] for place in candidates]
        likeness, one = max((_middle(_alike(greys[test], greys[one])[telling]), one) for one in ones)
        if likeness > limit:
            found.append(NearDuplicate(test, one, likeness))
    return sorted(found, key=lambda pair: -pair.likeness)


def near_duplicate_groups(greys: Grey) -> list[list[int]]:
    """The numbers of all pictures, those together that are nearly the same as one another, in the order of the first.

    Args:
        greys: N×SIDE×SIDE uint8, without a pair of the same pixels.
    """
    numbers = range(len(greys))
    group = list(numbers)

    def first_of(number: int) -> int:
        while group[number] != number:
            number = group[number]
        return number

    if len(greys) > 1:
        fingerprints = _Fingerprints(greys, numbers)
        telling, limit = _yardstick(greys, numbers, fingerprints)
        for one, candidates in zip(numbers, fingerprints.nearest(numbers, _CANDIDATES + 1), strict=True):
            for other in candidates:
                ends = sorted((first_of(one), first_of(other)))
                if ends[0] != ends[1] and _middle(_alike(greys[one], greys[other])[telling]) > limit:
                    group[ends[1]] = ends[0]
    together = defaultdict(list)
    for number in numbers:
        together[first_of(number)].append(number)
    return list(together.values())


def _alike(first: Grey, second: Grey) -> Plane:
    """The correlation of each block, −1..1, after shifting one picture onto the other."""
    fine, other = (band(grey.astype(np.float32), 0.7, 4.0) for grey in (first, second))
    shift, _ = cv2.phaseCorrelate(fine, other, cv2.createHanningWindow((SIDE, SIDE), cv2.CV_32F))
    if max(map(abs, shift)) <= _REACH:
        move = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float32)
        other = cv2.warpAffine(other, move, (SIDE, SIDE), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    a, b = _cells(fine), _cells(np.asarray(other, np.float32))
    power = np.sqrt(((a**2).mean(axis=1) + _NOISE) * ((b**2).mean(axis=1) + _NOISE))
    return np.asarray((a * b).mean(axis=1) / power, np.float32)


def _middle(correlations: Plane) -> float:
    return float(np.median(correlations))


def _cells(plane: Plane) -> Plane:
    """The blocks of a picture without its border, each with mean 0: n × pixels."""
    inside = plane[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN]
    count = len(inside) // _CELL
    cells = inside.reshape(count, _CELL, count, _CELL).swapaxes(1, 2).reshape(count * count, -1)
    return np.asarray(cells - cells.mean(axis=1, keepdims=True), np.float32)


def _yardstick(greys: Grey, learned: Sequence[int], fingerprints: _Fingerprints) -> tuple[npt.NDArray[np.int64], float]:
    """The blocks that tell images apart, and what likeness no two different images of this set reach there."""
    some = [learned[place] for place in _spread(len(learned), _PAIRS)]
    behind = max(_DIFFERENT, len(learned) // _OF_ALL)
    ranks = fingerprints.nearest(some, min(behind + 1, len(learned)))
    pairs = np.stack([_alike(greys[one], greys[learned[row[-1]]]) for one, row in zip(some, ranks, strict=True)])
    telling = np.argsort(np.median(pairs, axis=0))[: pairs.shape[1] // 3]
    if len(learned) < 2:
        return telling, _CLOSEST
    z = np.arctanh(np.clip(np.median(pairs[:, telling], axis=1), -_CLOSEST, _CLOSEST))
    middle, high = np.quantile(z, (0.5, 0.9))
    return telling, min(max(float(np.tanh(middle + _BEYOND * (high - middle) / 1.2816)), _LEAST), _CLOSEST)


def _spread(count: int, most: int) -> npt.NDArray[np.int64]:
    """Places from all over `count`, at most so many."""
    return np.linspace(0, count - 1, min(count, most)).round().astype(np.int64)


class _Fingerprints:
    """The fine structure of each learned image without what all have, as unit vectors of int8's precision."""

    def __init__(self, greys: Grey, learned: Sequence[int]) -> None:
        self._greys = greys
        sample = np.stack([_fine(greys[learned[place]]) for place in _spread(len(learned), _USUAL)])
        self._middle = np.median(sample, axis=0)
        spread = 1.4826 * np.median(np.abs(sample - self._middle), axis=0)
        self._spread = spread + 0.25 * np.median(spread) + 0.05
        self._learned = self._vectors(learned)

    def nearest(self, numbers: Sequence[int], count: int) -> list[list[int]]:
        """For each image the places in `learned` of those most like it, the likest first."""
        found: list[list[int]] = []
        for start in range(0, len(numbers), _BLOCK):
            vectors = self._vectors(numbers[start : start + _BLOCK]).astype(np.float32)
            likeness = np.concatenate([vectors @ part.astype(np.float32).T for part in self._parts()], axis=1)
            best = np.argpartition(-likeness, min(count, likeness.shape[1]) - 1, axis=1)[:, :count]
            order = np.argsort(-np.take_along_axis(likeness, best, axis=1), axis=1)
            found += np.take_along_axis(best, order, axis=1).tolist()
        return found

    def _parts(self) -> list[npt.NDArray[np.int8]]:
        return [self._learned[start : start + 8 * _BLOCK] for start in range(0, len(self._learned), 8 * _BLOCK)]

    def _vectors(self, numbers: Sequence[int]) -> npt.NDArray[np.int8]:
        """A length that int8 can hold: 64 pixels squared of 24 each, which only a single bright line goes beyond."""
        vectors = np.empty((len(numbers), _FINGERPRINT_SIDE**2), np.int8)
        for row, number in enumerate(numbers):
            fine = np.clip((_fine(self._greys[number]) - self._middle) / self._spread, -3, 3).ravel()
            fine -= fine.mean()
            scaled = fine * (24 * _FINGERPRINT_SIDE / max(float(np.linalg.norm(fine)), 1e-6))
            vectors[row] = np.clip(scaled.round(), -127, 127)
        return vectors


def _fine(grey: Grey) -> Plane:
    small = cv2.resize(grey.astype(np.float32), (_FINGERPRINT_SIDE,) * 2, interpolation=cv2.INTER_AREA)
    return band(np.asarray(small, np.float32), 1.0, 3.0)
