"""What is unlike the rest is found, and hardly anything else is."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from worker.settings import load
from worker.training.data import read_image
from worker.training.dataset.layouts import open_dataset
from worker.training.dataset.looks import look_at
from worker.training.dataset.outliers import FEWEST, Outlier, find_outliers

from .pictures import Pixels, noise, part

CLEAN = 100


@pytest.fixture(scope="module")
def parts() -> list[Pixels]:
    return [part(seq, seed=10)[0] for seq in range(CLEAN)]


def outliers(pictures: list[Pixels]) -> list[Outlier]:
    seen = [look_at(pixels) for pixels in pictures]
    return find_outliers([look for look, _ in seen], [grey for _, grey in seen])


@pytest.mark.parametrize("seed", [10, 13])
def test_clean_sets_stay_clean(seed: int) -> None:
    assert outliers([part(seq, seed=seed)[0] for seq in range(CLEAN)]) == []


def test_textures_without_a_place_stay_clean() -> None:
    assert outliers([noise(seed, 48, 48) for seed in range(100)]) == []


def test_real_photographs_stay_clean(shared_dir: Path) -> None:
    limits = load()[0].limits
    learned = open_dataset(shared_dir / "data" / "magnetic_tile").learned

    assert len(outliers([read_image(sample.path, limits) for sample in learned])) <= 2


def test_defects_among_the_good_are_found_and_shown(parts: list[Pixels]) -> None:
    spoilt = [part(1000 + place, kind, seed=10) for place, kind in enumerate(("stain", "chip", "dent", "swarf"))]

    found = outliers(parts + [pixels for pixels, _ in spoilt])

    assert {one.index - CLEAN for one in found} == {0, 1, 2, 3}
    for one in found:
        assert one.where is not None
        mask = cv2.dilate(spoilt[one.index - CLEAN][1], np.ones((15, 15), np.uint8))
        x, y = (int(share * 128) for share in one.where)
        assert mask[y, x], one


def test_foreign_images_are_found(parts: list[Pixels]) -> None:
    foreign = {
        "noise": noise(1, 128, 128),
        "blurred": np.asarray(cv2.GaussianBlur(parts[0], (0, 0), 2), np.uint8),
        "dark": (parts[1] * 0.7).astype(np.uint8),
        "turned": np.ascontiguousarray(np.rot90(parts[2])),
        "black": np.zeros((128, 128, 3), np.uint8),
    }

    found = outliers(parts + list(foreign.values()))

    assert {one.index - CLEAN for one in found} == set(range(len(foreign)))
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)


def test_a_few_images_say_nothing_of_what_is_usual(parts: list[Pixels]) -> None:
    assert outliers([*parts[: FEWEST - 2], noise(1)]) == []
    assert outliers([]) == []


def test_images_that_are_all_one_do_not_differ(parts: list[Pixels]) -> None:
    assert outliers([parts[0]] * 30) == []
    assert [one.index for one in outliers([parts[0]] * 30 + [part(7, "stain", seed=10)[0]])] == [30]
