"""Small data sets with known truth, for a small real model."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from worker.types import Image

SIZE = (80, 100)  # (H, W)


def good_part(seed: int) -> Image:
    """A slope of light, H×W×3 uint8."""
    chance = np.random.default_rng(seed)
    slope = np.tile(np.linspace(*sorted(chance.uniform(118, 124, 2)), SIZE[1]), (SIZE[0], 1))
    return np.repeat(slope.astype(np.uint8)[..., None], 3, axis=2)


def defect(seed: int, strength: float = 60) -> tuple[Image, Image]:
    """The same with a patch of noise, and its mask, H×W uint8 of 0 and 255."""
    chance = np.random.default_rng(seed)
    image, mask = good_part(seed), np.zeros(SIZE, np.uint8)
    y, x = (int(place) for place in chance.integers(10, 40, 2))
    patch = np.s_[y : y + 24, x : x + 24]
    image[patch] = np.clip(image[patch] + chance.normal(0, strength, (24, 24, 1)), 0, 255)
    mask[patch] = 255
    return image, mask


def write(path: Path, image: Image) -> Path:
    """Write a picture, whatever its name is made of."""
    path.parent.mkdir(parents=True, exist_ok=True)
    done, data = cv2.imencode(".png", image[..., ::-1] if image.ndim == 3 else image)
    assert done
    path.write_bytes(data.tobytes())
    return path


def write_mvtec(folder: Path, good: int = 6, kinds: tuple[str, ...] = ("dent", "stain"), each: int = 3) -> Path:
    """MVTec AD's layout: `good` test images, and `each` of every kind with masks."""
    for seed in range(good):
        write(folder / "test" / "good" / f"{seed:03}.png", good_part(seed))
    write(folder / "train" / "good" / "000.png", good_part(1000))
    for number, kind in enumerate(kinds):
        for seed in range(each):
            image, mask = defect(100 * (number + 1) + seed, 30 + 30 * number)
            write(folder / "test" / kind / f"{seed:03}.png", image)
            write(folder / "ground_truth" / kind / f"{seed:03}_mask.png", mask)
    return folder
