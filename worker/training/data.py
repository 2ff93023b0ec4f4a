"""The images that a model learns from: found, read, and prepared exactly as in serving."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from worker.errors import ImageError, SourceError
from worker.inference.decode import decode
from worker.inference.preprocess import Transforms, preprocess, resized
from worker.settings import LimitSettings
from worker.types import Encoding, Frame, Image

ENCODINGS = {
    ".jpg": Encoding.JPEG,
    ".jpeg": Encoding.JPEG,
    ".png": Encoding.PNG,
    ".webp": Encoding.WEBP,
    ".bmp": Encoding.BMP,
}
"""File name endings that count as images, in lower case."""


class Samples:
    """N images as the graph's inputs; `images` keeps them as uint8 at the model's size, a quarter of that."""

    def __init__(self, images: Iterable[Image], transforms: Transforms) -> None:
        self.transforms = transforms
        self.images = [resized(image, transforms) for image in images]

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, numbers: Sequence[int]) -> npt.NDArray[np.float32]:
        """The inputs with these numbers: n×3×h×w float32."""
        return np.stack([preprocess(self.images[number], self.transforms) for number in numbers])


def is_image(path: Path) -> bool:
    """Whether it is a regular file, or a link to one, with an image's ending; what macOS keeps beside one is none."""
    return path.suffix.lower() in ENCODINGS and not path.name.startswith("._") and is_file(path)


def is_file(path: Path) -> bool:
    """Whether it is a regular file, or a link to one, that can be looked at."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that is too long, a folder that may not be entered
        return False


def find_images(folder: Path) -> list[Path]:
    """Every image below a folder, in the order of their paths.

    Raises:
        SourceError: there is no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise SourceError(f"{folder}: there is no such folder of images")
    found = sorted(path for path in folder.rglob("*") if is_image(path))
    if not found:
        raise SourceError(f"{folder}: no image is in it; wanted {', '.join(ENCODINGS)}")
    return found


def read_image(path: Path, limits: LimitSettings) -> Image:
    """One image as a worker would see it: H×W×3, RGB, uint8.

    Raises:
        SourceError: it cannot be read or decoded.
    """
    try:
        frame = Frame(camera="training", data=path.read_bytes(), encoding=ENCODINGS[path.suffix.lower()])
        return decode(frame, limits)
    except (OSError, ImageError) as error:
        raise SourceError(f"{path}: {error}; mend or move it (`dataset check` names all such)") from error


def read_images(paths: Sequence[Path], limits: LimitSettings) -> Iterator[Image]:
    """The images one by one; raises as `read_image` does."""
    return (read_image(path, limits) for path in paths)


def digest_of(pictures: Iterable[str]) -> str:
    """One digest for pictures by each one's `pixels_digest`, whatever their order: says what a model was made of."""
    return hashlib.sha256("\n".join(sorted(pictures)).encode()).hexdigest()


def pixels_digest(image: Image) -> str:
    """The same for pictures, H×W×3 uint8, that do not differ in any pixel, and for no others."""
    digest = hashlib.sha256(repr(image.shape).encode())
    digest.update(np.ascontiguousarray(image).tobytes())
    return digest.hexdigest()
