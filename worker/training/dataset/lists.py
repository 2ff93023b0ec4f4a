"""PaddleX's lists: a line «image mask» each, with paths from the list's folder on, or absolute ones.

A path may lead anywhere that the user may read: absolute paths are what PaddleX itself writes. It is only ever read,
and only as an image. Where an absolute path leads nowhere, its longest end of two names or more that exists below the
folder is taken: so a data set may be copied elsewhere with its lists.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from worker.errors import SourceError
from worker.settings import LimitSettings
from worker.training.data import ENCODINGS, is_file
from worker.training.dataset.masks import read_mask
from worker.training.dataset.samples import DEFECT, GOOD, Part, Sample

LISTS = {Part.TRAIN: "train.txt", Part.TEST: "val.txt"}
_LARGEST = 64 * 2**20  # bytes: hundreds of thousands of lines
_READERS = min(8, os.cpu_count() or 1)


@dataclass(frozen=True, slots=True)
class _Line:
    """A line whose files are there. `where` is what to call it in a message."""

    image: Path
    mask: Path | None
    part: Part
    where: str


def read_lists(folder: Path, limits: LimitSettings, faults: list[str] | None = None) -> list[Sample]:
    """The images of the lists of a folder, in their order; decodes the masks, for they say which image is good.

    An image is good where its line names no mask, names the image itself as the mask (as PaddleX's conversion of MVTec
    AD does for all it learns from), or a mask that is black all over. The kind of another is the name of its folder
    below one called `test` or `train`, else `defect`.

    Args:
        faults: takes what is wrong with a line, which is then left out; None: it is raised.

    Raises:
        SourceError: a list cannot be read, or a line's files are not there or not images.
    """
    lines = []
    for part, name in LISTS.items():
        if (folder / name).is_file():
            for number, text in enumerate(_read(folder / name).split("\n"), 1):
                try:
                    lines += _parse(folder, part, text.strip(), f"{folder / name}, line {number}")
                except SourceError as error:
                    _note(error, faults)
    with ThreadPoolExecutor(_READERS) as pool:
        found = list(pool.map(lambda line: _sample(folder, line, limits, faults), lines))
    return [sample for sample in found if sample is not None]


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > _LARGEST:
            raise SourceError(f"{path}: this is no list of images: it is over {_LARGEST} bytes long")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SourceError(f"{path}: it is not text in UTF-8: {error}; save it as UTF-8") from error


def _note(error: SourceError, faults: list[str] | None) -> None:
    if faults is None:
        raise error
    faults.append(str(error))


def _parse(folder: Path, part: Part, text: str, where: str) -> list[_Line]:
    """The line's files, or nothing of an empty line. Names may have blanks in them: the line is parted where two
    files come of it, and one that can be parted in two ways is refused."""
    if not text:
        return []
    ways = list(_ways(text))
    found = []
    for image_name, mask_name in ways:
        image = _find(folder, image_name)
        mask = _find(folder, mask_name) if mask_name else None
        if image and (mask or not mask_name):
            found.append(_Line(image, mask, part, where))
    if len(found) > 1:
        raise SourceError(f"{where}: {text!r} can be read in {len(found)} ways; put a tab between image and mask")
    if not found:
        raise SourceError(f"{where}: {_missing(folder, ways)}; mend the line or take it out")
    return found


def _ways(text: str) -> Iterator[tuple[str, str]]:
    """Every way to part a line in image and mask, beginning with the image alone; a tab leaves one way only."""
    if "\t" in text:
        image, _, mask = text.partition("\t")
        yield image.strip(), mask.strip()
        return
    yield text, ""
    for gap in re.finditer(r"\s+", text):
        yield text[: gap.start()], text[gap.end() :]


def _missing(folder: Path, ways: list[tuple[str, str]]) -> str:
    for image, mask in ways:
        if mask and _find(folder, image):
            return f"there is no mask {mask!r}; a good image needs none"
    wanted = " ".join(name for name in ways[0] if name) if len(ways) != 2 else ways[1][0]
    return f"there is no image {wanted!r}, or it is none of {', '.join(ENCODINGS)}"


def _find(folder: Path, name: str) -> Path | None:
    path = Path(name)
    if path.suffix.lower() not in ENCODINGS:
        return None
    if not path.is_absolute():
        return folder / path if is_file(folder / path) else None
    if is_file(path):
        return path
    if any(one == ".." or one != one.strip() for one in path.parts):  # `/a/1.png /b/2.png` is not one path
        return None
    ends = (folder.joinpath(*path.parts[first:]) for first in range(1, len(path.parts) - 1))
    return next((one for one in ends if is_file(one)), None)


def _sample(folder: Path, line: _Line, limits: LimitSettings, faults: list[str] | None) -> Sample | None:
    if line.mask is None or line.mask == line.image or line.mask.samefile(line.image):
        return Sample(line.image, line.part)
    try:
        empty = not read_mask(line.mask, limits).any()
    except SourceError as error:
        _note(SourceError(f"{line.where}: mask {error}"), faults)
        return None
    return Sample(line.image, line.part, GOOD if empty else _kind(folder, line.image), line.mask)


def _kind(folder: Path, image: Path) -> str:
    """The folder's name below the last one called `test` or `train`, within the data set where it lies there."""
    inside = image.is_relative_to(folder)
    folders = (image.relative_to(folder) if inside else image).parent.parts
    below = [name for parent, name in pairwise(folders) if parent in tuple(Part)]
    return below[-1] if below and below[-1] != GOOD else DEFECT
