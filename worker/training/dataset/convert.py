"""From one layout to another, by copies: nothing is taken from the data set, and no image is read or written anew.

Both layouts are written with MVTec AD's folders; PaddleX's has lists beside them and a mask for every line of them. So
what was made for PaddleX can also be read as MVTec AD's. PaddleX parts a line at its one blank, so names lose theirs.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from worker.errors import SettingsError, SourceError
from worker.settings import LimitSettings
from worker.training.data import read_image
from worker.training.dataset.lists import LISTS
from worker.training.dataset.masks import read_mask
from worker.training.dataset.names import Names
from worker.training.dataset.outputs import unwritable
from worker.training.dataset.samples import Dataset, Layout, Part, Sample

TRUTH = "ground_truth"


@dataclass(frozen=True, slots=True)
class _Copy:
    """One image on its way; paths from the output folder on. `mask` is None where none is written."""

    sample: Sample
    image: Path
    mask: Path | None


def convert(
    dataset: Dataset,
    layout: Layout,
    output: Path,
    limits: LimitSettings,
    *,
    link: bool = False,
    advance: Callable[[], object] = lambda: None,
) -> None:
    """Write a data set in another layout into an empty folder: all of it, or nothing.

    Images keep their bytes; so do masks in PNG, others are written as PNG with the same pixels.

    Args:
        layout: MVTEC or PADDLEX.
        link: hard links where copies would be; a change to one is then a change to the other.
        advance: called after each image.

    Raises:
        SourceError: a mask cannot be read, or PaddleX's layout cannot say what an image is: a defect without a mask.
        SettingsError: the folder cannot be written to, or no hard link can be made there.
    """
    copies = _plan(dataset, layout)
    if layout is Layout.PADDLEX:
        _check_masks(copies, limits)
    try:
        with tempfile.TemporaryDirectory(prefix=".part-", dir=output) as name:
            part = Path(name)
            for copy in copies:
                _write(copy, part, limits, link=link)
                advance()
            if layout is Layout.PADDLEX:
                _write_lists(copies, part)
            for entry in sorted(part.iterdir()):  # folders before the lists, which name what is in them
                entry.rename(output / entry.name)
    except OSError as error:
        raise unwritable(output, error) from error


def split_tests(dataset: Dataset, share: float, seed: int) -> Dataset:
    """Make a share of the good images of a data set without tests its tests.

    Raises:
        SettingsError: it has tests, or too few images for a test and something to learn from.
    """
    if dataset.tests:
        raise SettingsError(f"--test-share: {dataset.folder} has {len(dataset.tests)} tests of its own")
    count = len(dataset.samples)
    tests = round(count * share)
    if not 0 < tests < count:
        raise SettingsError(f"--test-share {share}: of {count} images that is {tests}; both parts must have some")
    chosen = set(np.random.default_rng(seed).permutation(count)[:tests].tolist())
    samples = (replace(one, part=Part.TEST) if at in chosen else one for at, one in enumerate(dataset.samples))
    return replace(dataset, samples=tuple(samples))


def _plan(dataset: Dataset, layout: Layout) -> list[_Copy]:
    names = Names(plain=layout is Layout.PADDLEX)
    copies = []
    for sample in dataset.samples:
        kind, name = names.name(dataset.folder, sample)
        image = Path(sample.part, kind, name)
        mask = Path(TRUTH, kind, f"{Path(name).stem}_mask.png")
        copies.append(_Copy(sample, image, mask if _needs_mask(sample, layout) else None))
    return copies


def _needs_mask(sample: Sample, layout: Layout) -> bool:
    """MVTec AD has masks of defects only. PaddleX wants one on every line, and itself names what is learned from as its
    own mask: only its shape matters there."""
    if layout is Layout.PADDLEX and sample.is_good:
        return sample.part is Part.TEST
    return not sample.is_good and (sample.mask is not None or layout is Layout.PADDLEX)


def _check_masks(copies: list[_Copy], limits: LimitSettings) -> None:
    """A defect that the lists would call good is refused."""
    for copy in copies:
        if copy.sample.is_good:
            continue
        if copy.sample.mask is None:
            raise SourceError(
                f"{copy.sample.path}: a defect without a mask, which PaddleX's lists cannot say; draw one"
            )
        if not read_mask(copy.sample.mask, limits).any():
            raise SourceError(
                f"{copy.sample.mask}: the mask of a defect, black all over: PaddleX's lists call that good"
            )


def _write(copy: _Copy, folder: Path, limits: LimitSettings, *, link: bool) -> None:
    _transfer(copy.sample.path, folder / copy.image, link=link)
    if copy.mask is None:
        return
    source = copy.sample.mask
    if copy.sample.is_good:
        shape = read_image(copy.sample.path, limits).shape[:2]
        _write_mask(folder / copy.mask, np.zeros(shape, np.uint8))
    elif source and source.suffix.lower() == ".png":
        _transfer(source, folder / copy.mask, link=link)
    elif source:
        pixels = read_image(source, limits)
        _write_mask(folder / copy.mask, np.asarray(pixels.max(axis=2), np.uint8))


def _transfer(source: Path, target: Path, *, link: bool) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        if link:
            os.link(source.resolve(), target)
        else:
            shutil.copyfile(source, target)
    except OSError as error:
        if not link and (error.filename2 or error.filename != source):  # it is the target's
            raise
        if not link:
            raise SourceError(f"{source}: cannot be read: {error.strerror}") from error
        raise SettingsError(
            f"--link: {source} cannot be linked from {target.parent}: {error.strerror}; leave out --link to copy"
        ) from error


def _write_mask(path: Path, mask: npt.NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    _, data = cv2.imencode(".png", mask)
    path.write_bytes(data.tobytes())


def _write_lists(copies: list[_Copy], folder: Path) -> None:
    """A list without a line would make PaddleX fail, so there is none."""
    for part, name in LISTS.items():
        lines = [
            f"{copy.image.as_posix()} {(copy.mask or copy.image).as_posix()}\n"
            for copy in copies
            if copy.sample.part is part
        ]
        if lines:
            (folder / name).write_text("".join(lines), encoding="utf-8")
