"""Small real models for the tests: the STFPM network with seeded weights, exported as `train` exports it."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import cv2
import numpy as np

from worker.inference.bundle import Manifest, write_manifest
from worker.types import Image

SIDE = 64
NOISE = 0.28  # of the student against the teacher: puts some of `images()` above 0.01 and some below


@functools.cache
def _exported() -> tempfile.TemporaryDirectory[str]:
    from worker.training.export import export
    from worker.training.framework import paddle
    from worker.training.network import Backbone, Stfpm

    paddle.seed(7)
    chance = np.random.default_rng(7)
    teacher, student = Backbone(folded=False), Backbone(folded=False)
    weights = {
        name: value + NOISE * chance.standard_normal(value.shape).astype(np.float32) * value.std()
        for name, value in teacher.weights().items()
    }
    student.load(weights)
    folder = tempfile.TemporaryDirectory(prefix="line-worker-model-")
    export(Stfpm(teacher, student), Path(folder.name), (SIDE, SIDE))
    return folder


def bare_export() -> Path:
    """A folder as PaddleX exports it: no manifest. Not to be written to; `copy_to` gives one that may be."""
    return Path(_exported().name)


def copy_to(folder: Path, **manifest: object) -> Path:
    """A model folder of a test's own; with keywords it has a manifest that holds them."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in bare_export().iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    if manifest:
        write_manifest(folder, Manifest.model_validate(manifest))
    return folder


def images(count: int, seed: int = 1) -> list[Image]:
    """Pictures of many sizes: flat, textured, with and without a patch of noise."""
    chance = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        height, width = (int(side) for side in chance.integers(20, 160, 2))
        coarse = chance.integers(0, 255, (chance.integers(2, 6), chance.integers(2, 6), 3), dtype=np.uint8)
        image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        if chance.random() < 0.7:
            patch = image[height // 4 : height // 2, width // 4 : width // 2]
            patch[...] = chance.integers(0, 255, patch.shape, dtype=np.uint8)
        made.append(image)
    return made


def jpeg(image: Image, extension: str = ".jpg", *options: int) -> bytes:
    """The picture as a file's bytes."""
    done, data = cv2.imencode(extension, image[..., ::-1], options)
    assert done
    return data.tobytes()
