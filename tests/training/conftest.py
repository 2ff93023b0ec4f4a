"""Photographs to train on."""

from pathlib import Path

import cv2
import pytest

from worker.capture.generated import GeneratedLine


@pytest.fixture
def good_parts(tmp_path: Path) -> Path:
    folder = tmp_path / "good"
    folder.mkdir()
    for seq in range(10):
        cv2.imwrite(str(folder / f"{seq}.png"), GeneratedLine(3, size=96).render(seq, "good").image[:, :, ::-1])
    return folder
