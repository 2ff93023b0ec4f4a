"""Frames and results to keep evidence of, and what is found in a folder of it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from models import images, jpeg

from worker.evidence.record import Record
from worker.inference.postprocess import encode_label_map
from worker.types import Encoding, Frame, Region, Result, Verdict

LINE = "test"
AT = 1_795_875_285_703_000_000  # 2026-11-28 14:14:45.703 UTC


def label_map() -> np.ndarray:
    """64×64 with one square of anomaly."""
    found = np.zeros((64, 64), np.uint8)
    found[16:32, 16:32] = 255
    return found


def record(
    number: int = 0,
    verdict: Verdict = Verdict.NG,
    *,
    camera: str = "c1",
    at: int = AT,
    data: bytes = b"",
    encoding: Encoding = Encoding.JPEG,
    width: int = 0,
    height: int = 0,
    **fields: Any,
) -> Record:
    """A record of a real picture, with a labelMap unless `label_map` says otherwise."""
    frame_id = f"{at // 1_000_000 + number}-0"
    frame = Frame(camera, data or jpeg(images(1)[0]), encoding, width, height, seq=number, id=frame_id)
    fields = {"label_map": encode_label_map(label_map()), "size": (64, 64), "score": 0.5, "threshold": 0.1} | fields
    result = Result(frame_id, camera, verdict, seq=number, regions=(Region(2, 3, 9, 9, 60, 0.5),), **fields)
    return Record(frame, result, at + number * 1_000_000)


def files(folder: Path) -> list[str]:
    """All files below a folder, but for the janitor's lock."""
    found = (path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink())
    return sorted(str(path.relative_to(folder)) for path in found if path.name != ".janitor.lock")


def texts(folder: Path) -> list[dict[str, Any]]:
    """The JSON of each record that is there whole; that all of its files are there is checked."""
    found = []
    for path in sorted(folder.rglob("*.json")):
        text = json.loads(path.read_text())
        for ending, size in text["files"].items():
            assert path.with_name(f"{path.stem}.{ending}").stat().st_size == size
        found.append(text)
    return found


def age(paths: Iterable[Path], seconds: float = 3600) -> None:
    """Make files look as old as this."""
    then = time.time() - seconds
    for path in paths:
        os.utime(path, (then, then), follow_symlinks=False)


def decoded(path: Path) -> np.ndarray:
    """The picture in a file, BGR."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    assert image is not None
    return np.asarray(image)
