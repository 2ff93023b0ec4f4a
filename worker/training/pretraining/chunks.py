"""Scenes in chunks, drawn by another process while the network learns from the one before."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

from worker.training.pretraining.scenes import Scenes, draw_pool, draw_scenes

_POOL = "textures.npy"


def chunks(work: Path, programs: int, pictures: int, size: int, seed: int, first: int) -> Iterator[Scenes]:
    """Chunk after chunk, each the same whenever it is drawn.

    Args:
        work: folder for the textures, which are drawn once, and the chunk on its way.
        programs, pictures: how many programs, and textures of each.
        size: scenes a chunk.
        first: the number of the chunk to begin with.
    """
    pool = work / _POOL
    if not pool.is_file():
        np.save(work / "part.npy", draw_pool(programs, pictures, seed))
        (work / "part.npy").replace(pool)
    with ProcessPoolExecutor(1, get_context("spawn")) as artist:
        number = first
        coming = artist.submit(_draw, work, size, seed, number)
        while True:
            file = coming.result()
            number += 1
            coming = artist.submit(_draw, work, size, seed, number)
            with np.load(file) as arrays:
                scenes = Scenes(**{name: arrays[name] for name in arrays.files})
            file.unlink()
            yield scenes


def _draw(work: Path, size: int, seed: int, number: int) -> Path:
    cv2.setNumThreads(1)
    scenes = draw_scenes(np.random.default_rng([seed, 7, number]), np.load(work / _POOL, mmap_mode="r"), size)
    file = work / f"chunk{number}.npz"
    np.savez(
        file,
        images=scenes.images,
        programs=scenes.programs,
        defects=scenes.defects,
        clean=scenes.clean,
    )
    return file
