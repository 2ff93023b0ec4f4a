"""Each picture for one thing only, and each part on one side only."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from worker.errors import SourceError
from worker.settings import load
from worker.training.make import transforms_of
from worker.training.photographs import Photographs
from worker.training.split import split

LIMITS = load()[0].limits


def photographs(folder: Path, count: int, shots: int = 1) -> Photographs:
    """So many parts, each photographed so many times: another exposure, some noise, half a pixel aside."""
    random, paths = np.random.default_rng(0), list[Path]()
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        part = cv2.GaussianBlur(random.integers(0, 256, (160, 200, 3), dtype=np.uint8), (0, 0), 1.5)
        for shot in range(shots):
            paths.append(folder / f"{number:02}_{shot}.png")
            moved = cv2.warpAffine(
                part, np.array([[1, 0, shot / 4], [0, 1, 0]]), (200, 160), borderMode=cv2.BORDER_REFLECT
            )
            noise = random.normal(0, 1, part.shape)
            cv2.imwrite(str(paths[-1]), np.clip(moved * (1 + 0.01 * shot) + noise, 0, 255).astype(np.uint8))
    return Photographs.read(paths, transforms_of((32, 32)), LIMITS, lambda: None)


def test_the_split_leaves_none_out_and_follows_the_seed(tmp_path: Path) -> None:
    pictures = photographs(tmp_path, 20).pictures

    shared = split(pictures, 0.1, 0.2, seed=3)

    assert (len(shared.validation), len(shared.held_out), shared.alike) == (2, 4, 0)
    assert sorted(path for part in shared.parts for path in part) == [str(picture.path) for picture in pictures]
    assert split(pictures, 0.1, 0.2, seed=3) == shared
    assert split(pictures, 0.1, 0.2, seed=4) != shared


def test_a_share_gets_one_picture_at_least_and_none_where_it_is_nothing(tmp_path: Path) -> None:
    shared = split(photographs(tmp_path, 5).pictures, 0.0, 0.01, seed=0)

    assert [len(part) for part in shared.parts] == [4, 0, 1]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_cannot_be_split(tmp_path: Path, count: int) -> None:
    with pytest.raises(SourceError, match="not enough"):
        split(photographs(tmp_path, count).pictures, 0.1, 0.2, seed=0)


@pytest.mark.parametrize(("count", "shots"), [(30, 2), (20, 5), (10, 12)])
def test_a_part_that_was_photographed_again_is_not_learned_from_and_held_out(
    tmp_path: Path, count: int, shots: int
) -> None:
    found = photographs(tmp_path, count, shots)

    shared = split(found.pictures, 0.1, 0.2, seed=1)

    part_of = {str(picture.path): picture.path.name[:2] for picture in found.pictures}
    learned, held_out = ({part_of[path] for path in part} for part in (shared.learned, shared.held_out))
    assert not learned & held_out
    assert shared.alike == sum(map(len, shared.parts)) == count * shots
    assert len(shared.held_out) == pytest.approx(0.2 * count * shots, abs=shots)


def test_pictures_of_one_part_alone_cannot_be_split(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="only 2 parts"):
        split(photographs(tmp_path, 2, shots=10).pictures, 0.1, 0.2, seed=0)
