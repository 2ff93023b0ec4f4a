"""The three layouts of a data set on disk, read into one: which image is learned from, which tests, and its mask.

mvtec     train/good/*, test/<kind>/*, ground_truth/<kind>/<name>_mask.png (or <name>.png); MVTec AD's
paddlex   train.txt and val.txt beside the images, a line each: «image mask», paths from the folder on or absolute
plain     a folder of good images, to its leaves
"""

from __future__ import annotations

from pathlib import Path

from worker.errors import SourceError
from worker.settings import LimitSettings
from worker.training.data import ENCODINGS, find_images, is_file, is_image
from worker.training.dataset.lists import LISTS, read_lists
from worker.training.dataset.samples import DEFECT, GOOD, Dataset, Layout, Part, Sample
from worker.training.names import printable

__all__ = ["DEFECT", "GOOD", "Dataset", "Layout", "Part", "Sample", "check_all_good", "layout_of", "open_dataset"]

_OTHER_FORMATS = {".tif", ".tiff", ".gif", ".jp2", ".heic", ".heif", ".avif", ".pgm", ".ppm", ".dng", ".raw", ".exr"}
_NAMED = 3  # folders, in an error


def open_dataset(
    folder: Path,
    layout: Layout | None = None,
    *,
    limits: LimitSettings | None = None,
    faults: list[str] | None = None,
) -> Dataset:
    """Find the images of a data set, in the order of their paths or of the lists.

    Args:
        layout: None: what the folder looks like. Lists come before MVTec AD's folders, which may lie beside them.
        limits: of the masks in PaddleX's lists, which are decoded; None: the defaults.
        faults: takes what is wrong with a line of a list, which is then left out; None: it is raised.

    Raises:
        SourceError: there is no such folder, no image in it, or a list or one of its lines cannot be read.
    """
    if not folder.is_dir():
        raise SourceError(f"{folder}: there is no such folder of images")
    match layout or layout_of(folder):
        case Layout.MVTEC:
            return _mvtec(folder)
        case Layout.PADDLEX:
            return _paddlex(folder, limits or LimitSettings(), faults)
        case Layout.PLAIN:
            images = find_images(folder)
            samples = tuple(Sample(path, Part.TRAIN) for path in images)
            return Dataset(folder, Layout.PLAIN, samples, _beside(folder, set(images)))


def check_all_good(dataset: Dataset) -> None:
    """See that a plain folder is not one of good and bad parts, for all of it would be taken as good.

    Raises:
        SourceError: it looks like one.
    """
    if dataset.doubtful:
        named = ", ".join(printable(str(one)) for one in dataset.doubtful[:_NAMED])
        raise SourceError(
            f"{dataset.folder}: {named}: not all of this looks like good parts, and all of it would be taken as such; "
            f"name the folder of good images, or lay it out as MVTec AD does (train/{GOOD}, test/KIND)"
        )


def layout_of(folder: Path) -> Layout:
    """What the folder looks like."""
    if any((folder / name).is_file() for name in LISTS.values()):
        return Layout.PADDLEX
    return Layout.MVTEC if (folder / "train" / GOOD).is_dir() else Layout.PLAIN


def _mvtec(folder: Path) -> Dataset:
    samples = []
    for part in Part:
        for kind in sorted(path.name for path in (folder / part).glob("*") if path.is_dir()):
            images = (path for path in sorted((folder / part / kind).rglob("*")) if is_image(path))
            samples += [Sample(path, part, kind, _mvtec_mask(folder, part, kind, path)) for path in images]
    if not samples:
        raise SourceError(f"{folder}: no image is in its train/{GOOD}")
    known = {path for sample in samples for path in (sample.path, sample.mask)}
    return Dataset(folder, Layout.MVTEC, tuple(samples), _beside(folder, known))


def _mvtec_mask(folder: Path, part: Part, kind: str, image: Path) -> Path | None:
    """Where the image lies deeper than its kind's folder, so does the mask. `good` may have masks, black ones."""
    if part is Part.TRAIN and kind == GOOD:
        return None
    below = folder / "ground_truth" / image.parent.relative_to(folder / part)
    names = (f"{image.stem}{end}{suffix}" for suffix in (".png", *ENCODINGS) for end in ("_mask", ""))
    return next((below / name for name in names if is_image(below / name)), None)


def _paddlex(folder: Path, limits: LimitSettings, faults: list[str] | None) -> Dataset:
    samples = read_lists(folder, limits, faults)
    if not samples and not faults:
        raise SourceError(f"{folder}: its lists {' and '.join(LISTS.values())} name no image")
    known = {path.resolve() for sample in samples for path in (sample.path, sample.mask) if path}
    return Dataset(folder, Layout.PADDLEX, tuple(samples), _beside(folder, known))


def _beside(folder: Path, known: set[Path | None] | set[Path]) -> tuple[Path, ...]:
    """Images without a place, those of other formats, and links: to folders, which are not followed, and to nowhere."""
    found = (path for path in sorted(folder.rglob("*")) if is_image(path) or _is_left_out(path))
    return tuple(path for path in found if path not in known and path.resolve() not in known)


def _is_left_out(path: Path) -> bool:
    try:
        if path.is_symlink():
            return path.is_dir() or not path.exists()
    except OSError:  # it leads to where nobody may look
        return True
    return path.suffix.lower() in _OTHER_FORMATS and is_file(path)
