"""Reads every image of a data set once, a few at a time, and keeps of each what the checks need."""

from __future__ import annotations

import os
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO

import numpy as np

from worker.errors import SettingsError, SourceError
from worker.settings import LimitSettings
from worker.training.data import read_image
from worker.training.dataset.looks import SIDE, Grey, Look, look_at
from worker.training.dataset.mask_check import MaskFault, check_mask
from worker.training.dataset.samples import Part, Sample

_READERS = min(8, os.cpu_count() or 1)
_AHEAD = 4 * _READERS  # images that are read or wait to be taken
_EMPTY: Grey = np.zeros((SIDE, SIDE), np.uint8)


@dataclass(frozen=True, slots=True)
class Survey:
    """What was seen of N samples, in their order.

    `looks` has None, and `greys` (N×SIDE×SIDE uint8, in a file that is gone with this) has black, where an image
    cannot be read; `unreadable` says why, by the sample's number. `masks` says which masks do not fit, `labels` which
    values the masks of the tests have, as PaddleX counts them.
    """

    samples: tuple[Sample, ...]
    looks: list[Look | None]
    greys: Grey
    unreadable: dict[int, str]
    masks: dict[int, MaskFault]
    labels: frozenset[int]


@dataclass(frozen=True, slots=True)
class _Seen:
    look: Look | None
    grey: Grey
    unreadable: str = ""
    mask: MaskFault | None = None
    labels: frozenset[int] = frozenset({0})


def survey(samples: Sequence[Sample], limits: LimitSettings, advance: Callable[[], object] = lambda: None) -> Survey:
    """Read the images and masks of these samples; what cannot be read is noted, not raised.

    Args:
        advance: called after each image.

    Raises:
        SettingsError: the folder for temporary files is full.
    """
    looks: list[Look | None] = []
    unreadable: dict[int, str] = {}
    masks: dict[int, MaskFault] = {}
    labels: set[int] = set()
    try:
        with tempfile.TemporaryFile() as file:
            for index, seen in enumerate(_read_all(samples, limits)):
                looks.append(seen.look)
                file.write(seen.grey.data)
                if seen.look is None:
                    unreadable[index] = seen.unreadable
                if seen.mask:
                    masks[index] = seen.mask
                if samples[index].part is Part.TEST:
                    labels |= seen.labels
                advance()
            greys = _mapped(file, len(looks))
    except OSError as error:
        raise SettingsError(
            f"{tempfile.gettempdir()}: {error.strerror}; name another folder for temporary files in TMPDIR"
        ) from error
    return Survey(tuple(samples), looks, greys, unreadable, masks, frozenset(labels))


def _read_all(samples: Sequence[Sample], limits: LimitSettings) -> Iterator[_Seen]:
    pool = ThreadPoolExecutor(_READERS)
    try:
        coming = deque(pool.submit(_see, sample, limits) for sample in samples[:_AHEAD])
        for sample in samples[_AHEAD:]:
            yield coming.popleft().result()
            coming.append(pool.submit(_see, sample, limits))
        while coming:
            yield coming.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _see(sample: Sample, limits: LimitSettings) -> _Seen:
    try:
        image = read_image(sample.path, limits)
    except SourceError as error:
        return _Seen(None, _EMPTY, str(error))
    look, grey = look_at(image)
    fault, labels = check_mask(sample, image.shape[:2], limits)
    return _Seen(look, grey, mask=fault, labels=labels)


def _mapped(file: IO[bytes], count: int) -> Grey:
    file.flush()
    if not count:
        return np.zeros((0, SIDE, SIDE), np.uint8)
    return np.memmap(file, np.uint8, "r", shape=(count, SIDE, SIDE))
