"""Golden frames: what every engine must say the same of as paddle in fp32.

A bundle keeps good photographs and the scores of those and of altered copies, on both sides of the threshold. The
copies themselves follow from the photographs by integers alone, so that every machine makes the same ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import cv2
import numpy as np
import numpy.typing as npt

from worker.errors import BundleError
from worker.inference.bundle import Bundle

KEPT = 32
"""Photographs that a bundle keeps at most."""

_SEED = 4
_PATTERN_CELLS = 8

Frames = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Golden:
    """`frames` N×h×w×3 RGB uint8 of the graph's size; `scores` paddle's in fp32, N float64, or None where no bundle
    keeps any: then those of paddle on this machine count."""

    frames: Frames
    scores: npt.NDArray[np.float64] | None


def altered(frames: Frames, seed: int = _SEED) -> Frames:
    """A copy of each frame with a part of it moved and made lighter or darker, from hardly to strongly."""
    random = np.random.default_rng(seed)
    copies = frames.copy()
    height, width = frames.shape[1:3]
    for number, copy in enumerate(copies):
        h, w = (int(random.integers(max(1, side // 16), max(2, side // 3))) for side in (height, width))
        y, x, to_y, to_x = (int(random.integers(0, room + 1)) for room in (height - h, width - w) * 2)
        shade = int(random.integers(1, 3 + 100 * (number + 1) // len(copies))) * (1 if random.integers(2) else -1)
        patch = frames[number, y : y + h, x : x + w].astype(np.int16) + shade
        copy[to_y : to_y + h, to_x : to_x + w] = np.clip(patch, 0, 255).astype(np.uint8)
    return copies


def with_altered(frames: Frames) -> Frames:
    """The frames and, behind them, their altered copies."""
    return np.concatenate([frames, altered(frames)])


def generated(size: tuple[int, int], count: int = KEPT) -> Frames:
    """count×h×w×3: coloured patterns, for a model of which no photographs are known. `size` is (h, w)."""
    random = np.random.default_rng(_SEED)
    height, width = size
    rows, columns = (np.arange(side) * _PATTERN_CELLS // side for side in (height, width))
    cells = random.integers(40, 216, (count, _PATTERN_CELLS, _PATTERN_CELLS, 3))
    grain = random.integers(-24, 25, (count, height, width, 1))
    return np.asarray(np.clip(cells[:, rows][:, :, columns] + grain, 0, 255), np.uint8)


def spread(images: Sequence[Frames], count: int = KEPT) -> Frames:
    """At most so many of these frames, from all over the sequence, stacked."""
    return np.stack([images[place] for place in places(len(images), count)])


def places(length: int, count: int) -> list[int]:
    """At most `count` places in a sequence of this length, as evenly spaced as can be."""
    return sorted({round(place) for place in np.linspace(0, length - 1, min(count, length)).tolist()})


def write_golden(file: Path, frames: Frames, score: Callable[[Frames], npt.NDArray[np.float64]]) -> None:
    """Write photographs, losslessly, and what `score` (paddle, fp32) says of them and of their altered copies."""
    scores = score(with_altered(frames))
    pictures = {f"frame{number:03}": _png(frame) for number, frame in enumerate(frames)}
    part = file.with_name(f"{file.name}.part")
    with part.open("wb") as stream:
        np.savez(stream, scores=scores, **pictures)  # type: ignore[arg-type]
    part.replace(file)


def read_golden(bundle: Bundle) -> Golden:
    """The bundle's golden frames, or generated ones without scores.

    Raises:
        BundleError: the file is not what `write_golden` writes.
    """
    size = bundle.transforms.map_shape
    if bundle.golden is None:
        return Golden(with_altered(generated(size)), None)
    try:
        with np.load(bundle.golden, allow_pickle=False) as arrays:
            frames = np.stack([_picture(arrays[name]) for name in sorted(set(arrays) - {"scores"})])
            scores = np.asarray(arrays["scores"], np.float64)
    except (OSError, EOFError, ValueError, KeyError, BadZipFile, cv2.error) as error:
        raise BundleError(f"{bundle.golden}: cannot be read: {error}") from error
    if frames.shape[1:] != (*size, 3) or scores.shape != (2 * len(frames),) or not np.isfinite(scores).all():
        raise BundleError(f"{bundle.golden}: its frames or scores do not fit the model: `line-worker optimize` it")
    return Golden(with_altered(frames), scores)


def _png(frame: Frames) -> npt.NDArray[np.uint8]:
    done, data = cv2.imencode(".png", frame)
    assert done, "OpenCV cannot write a PNG"
    return data


def _picture(png: npt.NDArray[np.uint8]) -> Frames:
    picture = cv2.imdecode(png, cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError("a frame in it is no PNG")
    return np.asarray(picture, np.uint8)
