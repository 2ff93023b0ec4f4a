"""The frames that all measurements share: the same pictures as JPEG files, a folder for each shape."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2

from worker.capture.generated import GeneratedLine
from worker.errors import SettingsError, SourceError
from worker.settings import LimitSettings
from worker.training.data import find_images, read_images
from worker.types import Frame, Image

MODEL_SIZE = "model"
_QUALITY = 90
_SIDES = range(64, 4097)
_GENERATED_SIDE = 1024


@dataclass(frozen=True, slots=True)
class Shape:
    """What frames look like to the line: `name` as the option has it, `size` (width, height) in pixels."""

    name: str
    size: tuple[int, int]


def parse_shapes(text: str, model_size: tuple[int, int]) -> list[Shape]:
    """`1024,model` → a square megapixel, and the model's own size.

    Raises:
        SettingsError: an entry is neither `model` nor a side in pixels, or stands there twice.
    """
    shapes = []
    for name in text.replace(" ", "").split(","):
        if name == MODEL_SIZE:
            shapes.append(Shape(name, model_size))
        elif name.isdecimal() and int(name) in _SIDES:
            shapes.append(Shape(name, (int(name), int(name))))
        else:
            raise SettingsError(f"--frames: {name!r} is neither model nor a side of {_SIDES[0]} to {_SIDES[-1]} pixels")
    if len({shape.name for shape in shapes}) != len(shapes):
        raise SettingsError(f"--frames: {text} names a shape twice")
    return shapes


def write_frames(folder: Path, shapes: list[Shape], images: Path | None, count: int, limits: LimitSettings) -> int:
    """Write `count` pictures (fewer where there are no more) into `folder/SHAPE/`; how many there are.

    Args:
        images: a folder of pictures; None: generated parts.

    Raises:
        SourceError: an image cannot be read, or there are fewer than two, which a line takes for a frozen camera.
    """
    for shape in shapes:
        (folder / shape.name).mkdir(parents=True)
    number = 0
    for number, image in enumerate(islice(_pictures(images, limits), count), 1):
        for shape in shapes:
            shrinks = image.shape[0] * image.shape[1] > shape.size[0] * shape.size[1]
            method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            picture = cv2.resize(image, shape.size, interpolation=method)[..., ::-1]
            cv2.imwrite(str(folder / shape.name / f"{number:04}.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if number < 2:
        raise SourceError(f"--images {images}: one image is not enough: a line takes that for a frozen camera")
    return number


def read_frames(folder: Path, shape: str) -> list[Frame]:
    """The frames of a shape, in memory."""
    return [Frame("bench", file.read_bytes()) for file in sorted((folder / shape).iterdir())]


def _pictures(images: Path | None, limits: LimitSettings) -> Iterator[Image]:
    if images is not None:
        return read_images(find_images(images), limits)
    line, seqs = GeneratedLine(1, _GENERATED_SIDE), iter(range(2**31))
    return (line.part(seq).image for seq in seqs)
