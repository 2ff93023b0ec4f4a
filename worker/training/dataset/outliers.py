"""Good images that look unlike the rest: probably defects among what is learned from, or another camera's.

Two questions to each image, both answered against the set's own spread, with medians, so that the odd ones do not hide
each other: is there a place in it that is unlike the same place in the others (a fixed camera), and are its figures of
brightness, colour and detail far from those of the images nearest to it (any camera)?
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from worker.training.dataset.looks import FIGURES, FLOORS, Grey, Look, Plane

FEWEST = 20
"""Images that it takes to know what is usual."""

LIMIT = 4.5
"""Standard deviations above the median, taken from the quartile: hardly a good image in 200 is beyond."""

_SIDE = 64
_USUAL = 1000  # images that say what is usual at a place
_NOTHING = 0.3  # of Lab's units of 100: what rounding and a JPEG do
_TOP = 3e-3  # share of the places that speak for an image: the most unusual ones
_NEIGHBOUR = 5  # whose distance counts, so that up to so many odd images of one sort are found
_BLOCK = 256
_CLIP = 8.0

Scores = npt.NDArray[np.float64]
_Get = Callable[[int], Plane]


@dataclass(frozen=True, slots=True)
class Outlier:
    """One image that is unlike the rest. `score` is in standard deviations; `where` is (x, y) as shares of its sides,
    None where it is the whole image."""

    index: int
    score: float
    reason: str
    where: tuple[float, float] | None = None


def find_outliers(looks: Sequence[Look], greys: Sequence[Grey] | Grey) -> list[Outlier]:
    """The images unlike the rest, the most unlike one first; none among fewer than FEWEST.

    Args:
        looks: N, of images that should look alike.
        greys: N×S×S uint8, the same images.
    """
    if len(looks) < FEWEST:
        return []
    figures = np.stack([look.figures for look in looks])
    light = _Places(lambda index: _light(greys[index]), len(looks), 2)
    tint = _Places(lambda index: looks[index].chroma.astype(np.float32), len(looks), 2)
    by_place = np.concatenate([light.scores, tint.scores], axis=1)
    by_figures = _above(_distances(figures))
    scores = np.concatenate([by_place, by_figures[:, None]], axis=1)
    found = []
    for index in np.flatnonzero(scores.max(axis=1) > LIMIT):
        which = int(scores[index].argmax())
        score = float(scores[index, which])
        if which < by_place.shape[1]:
            places, what = (light, "brightness") if which < light.scores.shape[1] else (tint, "colour")
            found.append(Outlier(int(index), score, f"one place differs in {what}", places.where(int(index))))
        else:
            found.append(Outlier(int(index), score, f"differs in {_what_differs(figures, int(index))}"))
    return sorted(found, key=lambda one: -one.score)


def _light(grey: Grey) -> Plane:
    """64×64×2: brightness, and what of it is not a slow change of light."""
    small = cv2.resize(grey.astype(np.float32), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA) / 2.55
    return np.dstack([small, small - cv2.GaussianBlur(small, (0, 0), 3)])


class _Places:
    """How far each place of an image is from the same place in the others; `scores` is N×channels."""

    def __init__(self, get: _Get, count: int, channels: int) -> None:
        self._get = get
        sample = np.stack([get(int(index)) for index in np.linspace(0, count - 1, min(count, _USUAL)).round()])
        self._middle = np.median(sample, axis=0)
        spread = 1.4826 * np.median(np.abs(sample - self._middle), axis=0)
        # An edge that moves a little from part to part makes its whole neighbourhood uncertain.
        wide = cv2.GaussianBlur(cv2.dilate(spread, np.ones((3, 3), np.uint8)), (0, 0), 1)
        self._spread = wide + 0.5 * np.median(wide, axis=(0, 1)) + _NOTHING
        top = np.concatenate([self._tops(block) for block in _blocks(count)])
        self.scores = np.stack([_above(np.log(top[:, channel])) for channel in range(channels)], axis=1)

    def _tops(self, block: range) -> Scores:
        away = np.stack([self._away(index) for index in block])
        away = away.reshape(len(away), -1, away.shape[-1])
        count = max(3, round(_TOP * away.shape[1]))
        return np.asarray(np.partition(away, -count, axis=1)[:, -count:].mean(axis=1) + 0.5, np.float64)

    def _away(self, index: int) -> Plane:
        return np.asarray(np.abs(self._get(index) - self._middle) / self._spread, np.float32)

    def where(self, index: int) -> tuple[float, float]:
        away = self._away(index).max(axis=2)
        row, column = np.unravel_index(int(away.argmax()), away.shape)
        return (float(column) + 0.5) / away.shape[1], (float(row) + 0.5) / away.shape[0]


def _distances(figures: Plane) -> Scores:
    """The logarithm of the distance to the fifth-nearest image, in figures without scale and mostly without
    correlation."""
    scaled = np.clip(_scaled(figures), -_CLIP, _CLIP)
    covariance = np.cov(scaled.T)
    shrunk = 0.7 * covariance + 0.3 * np.diag(np.diag(covariance)) + 0.05 * np.eye(len(covariance))
    points = scaled @ np.linalg.cholesky(np.linalg.inv(shrunk))
    squares = (points**2).sum(axis=1)
    nearest = []
    for block in _blocks(len(points)):
        some = points[block.start : block.stop]
        distances = squares[None] + (some**2).sum(axis=1)[:, None] - 2 * some @ points.T
        nearest.append(np.partition(distances, _NEIGHBOUR, axis=1)[:, _NEIGHBOUR].copy())  # not the whole block with it
    return np.asarray(0.5 * np.log(np.maximum(np.concatenate(nearest), 1e-6)), np.float64)


def _scaled(figures: Plane) -> Plane:
    middle = np.median(figures, axis=0)
    spread = 1.4826 * np.median(np.abs(figures - middle), axis=0)
    return np.asarray((figures - middle) / (spread + FLOORS), np.float32)


def _what_differs(figures: Plane, index: int) -> str:
    return FIGURES[int(np.abs(_scaled(figures)[index]).argmax())]


def _above(values: Scores) -> Scores:
    """Standard deviations above the median, from the upper quartile: a quarter of the images may be odd."""
    middle, upper = np.quantile(values, (0.5, 0.75))
    spread = max((upper - middle) / 0.6745, 1.4826 * float(np.median(np.abs(values - middle))), 0.03)
    return np.asarray((values - middle) / spread, np.float64)


def _blocks(count: int) -> Iterator[range]:
    return (range(start, min(start + _BLOCK, count)) for start in range(0, count, _BLOCK))
