"""The three layouts of a data set on disk, read into one: which image is learned from, which tests, and its mask.

mvtec     train/good/*, test/<kind>/*, ground_truth/<kind>/<name>_mask.png (or <name>.png); MVTec AD's
paddlex   train.txt and val.txt beside the images, a line each: «image mask», paths from the folder on or absolute
plain     a folder of good images, to its leaves
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from pathlib import Path

from worker.errors import SourceError
from worker.training.data import ENCODINGS, find_images

GOOD = "good"
DEFECT = "defect"  # the kind of a listed image whose folder does not name one
LISTS = ("train.txt", "val.txt")


class Layout(StrEnum):
    """How a data set lies on disk."""

    MVTEC = "mvtec"
    PADDLEX = "paddlex"
    PLAIN = "plain"


class Part(StrEnum):
    """What an image is for. PaddleX's `val` is `test` here: it is what a model is judged on."""

    TRAIN = "train"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Sample:
    """One image of a data set. `kind` is `good` or the defect's name; `mask` (255 = anomaly) is None where there is
    none, which for a good image means that nothing is wrong anywhere."""

    path: Path
    part: Part
    kind: str = GOOD
    mask: Path | None = None

    @property
    def is_good(self) -> bool:
        """Whether it shows a good part."""
        return self.kind == GOOD


@dataclass(frozen=True)
class Dataset:
    """A data set that was found; nothing of it was decoded yet, apart from the masks of PaddleX's lists.

    `strays` are image files of the folder that the layout gives no place: they are not used.
    """

    folder: Path
    layout: Layout
    samples: tuple[Sample, ...]
    strays: tuple[Path, ...] = field(default=())

    @cached_property
    def learned(self) -> tuple[Sample, ...]:
        """The good images to learn from."""
        return tuple(sample for sample in self.samples if sample.part is Part.TRAIN and sample.is_good)

    @cached_property
    def tests(self) -> tuple[Sample, ...]:
        """What a model is judged on."""
        return tuple(sample for sample in self.samples if sample.part is Part.TEST)


def open_dataset(folder: Path, layout: Layout | None = None) -> Dataset:
    """Find the images of a data set, in the order of their paths or of the lists.

    Args:
        layout: None: what the folder looks like. Lists come before MVTec AD's folders, which may lie beside them.

    Raises:
        SourceError: there is no such folder, no image in it, or a list cannot be read.
    """
    if not folder.is_dir():
        raise SourceError(f"{folder}: there is no such folder of images")
    read = {Layout.MVTEC: _mvtec, Layout.PADDLEX: _paddlex, Layout.PLAIN: _plain}[layout or layout_of(folder)]
    return read(folder)


def layout_of(folder: Path) -> Layout:
    """What the folder looks like."""
    if any((folder / name).is_file() for name in LISTS):
        return Layout.PADDLEX
    return Layout.MVTEC if (folder / "train" / GOOD).is_dir() else Layout.PLAIN


def _plain(folder: Path) -> Dataset:
    return Dataset(folder, Layout.PLAIN, tuple(Sample(path, Part.TRAIN) for path in find_images(folder)))


def _mvtec(folder: Path) -> Dataset:
    samples = []
    for part in Part:
        for kind in sorted(path.name for path in (folder / part).glob("*") if path.is_dir()):
            images = (path for path in sorted((folder / part / kind).rglob("*")) if _is_image(path))
            samples += [Sample(path, part, kind, _mvtec_mask(folder, kind, path)) for path in images]
    if not samples:
        raise SourceError(f"{folder}: no image is in its train/{GOOD}")
    known = {path for sample in samples for path in (sample.path, sample.mask)}
    beside = (path for path in sorted(folder.rglob("*")) if _is_image(path) and path not in known)
    return Dataset(folder, Layout.MVTEC, tuple(samples), tuple(beside))


def _mvtec_mask(folder: Path, kind: str, image: Path) -> Path | None:
    if kind == GOOD:
        return None
    places = (folder / "ground_truth" / kind / name for name in (f"{image.stem}_mask.png", f"{image.stem}.png"))
    return next((path for path in places if path.is_file()), None)


def _paddlex(folder: Path) -> Dataset:
    samples: list[Sample] = []
    for part, name in zip(Part, LISTS, strict=True):
        if not (folder / name).is_file():
            continue
        try:
            lines = (folder / name).read_text().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise SourceError(f"{folder / name}: cannot be read: {error}") from error
        samples += [_listed(folder, part, line, f"{name}:{number}") for number, line in enumerate(lines, 1) if line]
    if not samples:
        raise SourceError(f"{folder}: its lists {' and '.join(LISTS)} name no image")
    return Dataset(folder, Layout.PADDLEX, tuple(samples))


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in ENCODINGS and path.is_file()


def _listed(folder: Path, part: Part, line: str, where: str) -> Sample:
    """A line of a list. PaddleX's own conversion names a good image as its own mask; an empty mask says good too."""
    raise NotImplementedError
