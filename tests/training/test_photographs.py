"""Each picture once."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from worker.errors import SourceError
from worker.settings import load
from worker.training.make import transforms_of
from worker.training.photographs import Photographs

LIMITS = load()[0].limits


def photographs(folder: Path, count: int) -> Photographs:
    random, paths = np.random.default_rng(0), []
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        paths.append(folder / f"{number:02}.png")
        cv2.imwrite(str(paths[-1]), random.integers(0, 256, (40, 60, 3), dtype=np.uint8))
    return Photographs.read(paths, transforms_of((32, 32)), LIMITS, lambda: None)


def test_a_picture_under_two_names_is_there_once(tmp_path: Path) -> None:
    image = np.full((40, 60, 3), 7, np.uint8)
    paths = [tmp_path / "a.png", tmp_path / "b.bmp"]
    for path in paths:
        cv2.imwrite(str(path), image)
    told: list[int] = []

    found = Photographs.read(paths, transforms_of((32, 32)), LIMITS, lambda: told.append(1))

    assert [picture.path for picture in found.pictures] == paths[:1]
    assert found.repeated == paths[1:]
    assert found.survey.statistics().images == 1
    assert len(told) == 2


def test_a_picture_that_was_altered_is_named(tmp_path: Path) -> None:
    found = photographs(tmp_path, 3)
    digests = {str(picture.path): picture.digest for picture in found.pictures}

    assert len(found.samples(digests)) == 3
    with pytest.raises(SourceError, match=r"01\.png: is not the picture any more"):
        found.samples(digests | {str(tmp_path / "01.png"): "0" * 64})
