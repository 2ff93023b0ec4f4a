"""Copies are found among photographs that are all alike, and nothing else is."""

import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from worker.settings import load
from worker.training.data import read_image
from worker.training.dataset.duplicates import near_duplicates, same_pixels
from worker.training.dataset.layouts import open_dataset
from worker.training.dataset.looks import look_at

from .pictures import Pixels, noise, part

LEARNED = 60


def jpeg(pixels: Pixels, quality: int) -> Pixels:
    _, data = cv2.imencode(".jpg", pixels, (cv2.IMWRITE_JPEG_QUALITY, quality))
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def brighter(pixels: Pixels) -> Pixels:
    return np.clip(pixels * 1.05 + 3, 0, 255).astype(np.uint8)


COPIES: dict[str, Callable[[Pixels], Pixels]] = {
    "written again": lambda pixels: jpeg(pixels, 80),
    "written badly": lambda pixels: jpeg(pixels, 50),
    "shifted": lambda pixels: np.roll(pixels, 1, axis=1),
    "brighter": brighter,
    "half the size": lambda pixels: cv2.resize(pixels, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "noisier": lambda pixels: np.clip(pixels + np.random.default_rng(0).normal(0, 3, pixels.shape), 0, 255).astype(
        np.uint8
    ),
}


@pytest.fixture(scope="module")
def parts() -> list[Pixels]:
    """A fixed camera's: one kind of part, all but alike."""
    return [part(seq, size=256)[0] for seq in range(LEARNED)]


def found(learned: list[Pixels], tests: list[Pixels]) -> dict[int, int]:
    """Test → what it is a copy of."""
    greys = np.stack([look_at(pixels)[1] for pixels in learned + tests])
    numbers = range(len(learned), len(greys))
    return {one.test - len(learned): one.learned for one in near_duplicates(greys, range(len(learned)), numbers)}


@pytest.mark.parametrize("how", COPIES)
def test_a_copy_is_found_under_a_fixed_camera(parts: list[Pixels], how: str) -> None:
    assert found(parts, [COPIES[how](parts[place]) for place in (3, 30, 44)]) == {0: 3, 1: 30, 2: 44}


def test_other_parts_under_the_same_camera_are_no_copies(parts: list[Pixels]) -> None:
    others = [part(seq, "good" if seq % 3 else "scratch", size=256)[0] for seq in range(200, 240)]

    assert found(parts, others) == {}


def test_a_background_that_all_have_makes_no_copies() -> None:
    random = np.random.default_rng(4)

    def texture(width: int) -> Pixels:
        plane = cv2.GaussianBlur(random.normal(0, 60, (96, width)).astype(np.float32), (0, 0), 1.5)
        return np.clip(plane[:, :, None].repeat(3, axis=2) + 120, 0, 255).astype(np.uint8)

    fixture = texture(64)
    shots = [np.concatenate([fixture, texture(32)], axis=1) for _ in range(60)]

    assert found(shots[:40], shots[40:]) == {}
    assert found(shots[:40], [*shots[40:], jpeg(shots[7], 80)]) == {20: 7}


@pytest.mark.parametrize(("learned", "tests"), [(0, 2), (2, 0), (1, 2), (2, 2)])
def test_a_few_images_are_enough(learned: int, tests: int) -> None:
    pictures = [noise(seed) for seed in range(learned + tests)]

    assert found(pictures[:learned], pictures[learned:]) == {}


def test_flat_pictures_are_no_copies_of_each_other() -> None:
    flat = [np.full((40, 40, 3), shade, np.uint8) for shade in range(100, 110)]

    assert found(flat[:5], flat[5:]) == {}


def test_the_same_pixels_are_one_picture_whatever_the_file() -> None:
    first, second = noise(1), noise(2)
    looks = [look_at(pixels)[0] for pixels in (first, second, first.copy(), second[::-1], second)]

    assert same_pixels([None, *looks]) == [[1, 3], [2, 5]]
    assert same_pixels([look_at(noise(3, 20, 30))[0], look_at(noise(3, 30, 20))[0]]) == []


def test_real_tiles_photographed_twice_are_found(shared_dir: Path) -> None:
    """Photographs of one tile under other lights were numbered one after the other."""
    dataset = open_dataset(shared_dir / "data" / "magnetic_tile")
    good = [sample.path for sample in dataset.samples if sample.is_good]
    number = [int(re.findall(r"\d+", path.stem)[-1]) for path in good]
    limits = load()[0].limits
    greys = np.stack([look_at(read_image(path, limits))[1] for path in good])

    pairs = near_duplicates(greys, range(200), range(200, len(good)))

    near = [abs(number[pair.test] - number[pair.learned]) < 150 for pair in pairs]
    assert len(near) >= 20
    assert sum(near) / len(near) > 0.9
