"""Small data sets of real files, in each layout."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from worker.capture.generated import GeneratedLine

Pixels = npt.NDArray[np.uint8]


def write(path: Path, pixels: Pixels, *options: int) -> Path:
    """RGB or grey pixels as a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels[:, :, ::-1] if pixels.ndim == 3 else pixels, options)
    return path


def noise(seed: int, height: int = 32, width: int = 40) -> Pixels:
    """A picture that is like no other."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def spot(value: int = 255, height: int = 32, width: int = 40) -> Pixels:
    """A mask with a rectangle in it."""
    mask = np.zeros((height, width), np.uint8)
    mask[4:12, 6:20] = value
    return mask


def part(seq: int, kind: str = "good", size: int = 128, seed: int = 5) -> tuple[Pixels, Pixels]:
    """The photograph of a generated part, and its mask."""
    rendered = GeneratedLine(seed, size=size).render(seq, kind)
    return rendered.image, rendered.mask


def mvtec(folder: Path) -> Path:
    """MVTec AD's layout: three to learn from, one good and two bad ones to test."""
    for number in range(3):
        write(folder / "train" / "good" / f"{number}.png", noise(number))
    write(folder / "test" / "good" / "0.png", noise(10))
    for number, kind in ((20, "crack"), (21, "dent")):
        write(folder / "test" / kind / "0.png", noise(number))
        write(folder / "ground_truth" / kind / "0_mask.png", spot())
    return folder
