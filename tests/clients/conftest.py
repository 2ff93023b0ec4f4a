"""The clients, built once, and the parts that they show."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from worker.capture.generated import GeneratedLine

from .examples import CLIENTS, Client, Example


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Example], Client]:
    """Makes an example ready to run, or skips the test where this machine lacks what it takes."""
    clients: dict[str, Client] = {}

    def build(example: Example) -> Client:
        source = CLIENTS / example.folder
        if lacks := example.lacks(source):
            pytest.skip(f"{example.folder}: {lacks}")
        if example.folder not in clients:
            target = tmp_path_factory.mktemp(example.folder.replace("/", "-"))
            clients[example.folder] = Client(example.folder.partition("/")[2], example.build(source, target))
        return clients[example.folder]

    return build


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures of a good part, of a bad part and of nothing, and one that is cut off."""
    folder = tmp_path_factory.mktemp("parts")
    line = GeneratedLine(5)
    for name, kind in (("good.png", "good"), ("good.jpg", "good"), ("bad.jpg", "scratch")):
        assert cv2.imwrite(str(folder / name), line.render(3, kind).image[..., ::-1])
    assert cv2.imwrite(str(folder / "black.jpg"), np.zeros((256, 256, 3), np.uint8))
    (folder / "broken.jpg").write_bytes((folder / "good.jpg").read_bytes()[:2000])
    return folder
