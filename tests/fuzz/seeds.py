"""Good pictures in every way that a frame can hold one: what the fuzzer begins with."""

from __future__ import annotations

import functools
import io
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import PIL.Image

from worker.types import Encoding, Image

_SIZES = ((8, 8), (33, 17), (64, 200))


@dataclass(frozen=True, slots=True)
class Seed:
    """One good picture; `width` and `height` are those of a raw one."""

    encoding: Encoding
    data: bytes
    width: int = 0
    height: int = 0


@functools.cache
def seeds() -> tuple[Seed, ...]:
    """All of them, the same in every process."""
    chance = np.random.default_rng(5)
    found = []
    for height, width in _SIZES:
        coarse = chance.integers(0, 255, (4, 5, 3), dtype=np.uint8)
        image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        image[: height // 2, : width // 3] = chance.integers(0, 255, (height // 2, width // 3, 3), dtype=np.uint8)
        found += [*_jpegs(image), *_pngs(image), *_webps(image), *_bmps(image), *_raw(image)]
    return tuple(found)


def _saved(image: Image, kind: str, mode: str = "RGB", **options: Any) -> bytes:
    file = io.BytesIO()
    PIL.Image.fromarray(image).convert(mode).save(file, kind, **options)
    return file.getvalue()


def _exif(orientation: int) -> PIL.Image.Exif:
    exif = PIL.Image.Exif()
    exif[0x010F], exif[0x0112] = "a maker", orientation
    return exif


def _jpegs(image: Image) -> list[Seed]:
    ways: list[dict[str, Any]] = [
        {"quality": 40, "subsampling": 0},
        {"quality": 90, "subsampling": 1},
        {"quality": 90, "subsampling": 2},
        {"progressive": True},
        {"progressive": True, "subsampling": 0, "quality": 95},
        {"optimize": True},
        {"restart_marker_blocks": 3},
        {"keep_rgb": True},
        {"exif": _exif(6)},
        {"exif": _exif(3), "comment": "hello", "icc_profile": bytes(300), "dpi": (72, 72)},
    ]
    made = [_saved(image, "JPEG", **way) for way in ways]
    made += [_saved(image, "JPEG", mode, progressive=p) for mode in ("L", "CMYK") for p in (False, True)]
    return [Seed(Encoding.JPEG, data) for data in made]


def _pngs(image: Image) -> list[Seed]:
    made = [_saved(image, "PNG", mode) for mode in ("RGB", "RGBA", "L", "LA", "P", "1", "I;16")]
    made.append(_saved(image, "PNG", exif=_exif(8), icc_profile=bytes(300), dpi=(72, 72)))
    made.append(_saved(image, "PNG", "P", transparency=3, bits=4))
    made.append(_saved(image, "PNG", save_all=True, append_images=[PIL.Image.fromarray(image[::-1])]))
    deep = image.astype(np.uint16) * 257
    made += [cv2.imencode(".png", picture)[1].tobytes() for picture in (deep, deep[..., 0])]
    return [Seed(Encoding.PNG, data) for data in made]


def _webps(image: Image) -> list[Seed]:
    ways: list[dict[str, Any]] = [{"quality": 60}, {"lossless": True}, {"exif": _exif(2)}]
    made = [_saved(image, "WEBP", mode, **way) for way in ways for mode in ("RGB", "RGBA")]
    made.append(_saved(image, "WEBP", save_all=True, append_images=[PIL.Image.fromarray(image[::-1])]))
    return [Seed(Encoding.WEBP, data) for data in made]


def _bmps(image: Image) -> list[Seed]:
    made = [_saved(image, "BMP", mode) for mode in ("1", "L", "P", "RGB", "RGBA")]
    return [Seed(Encoding.BMP, data) for data in made]


def _raw(image: Image) -> list[Seed]:
    height, width = image.shape[:2]
    pixels = {Encoding.RGB8: image, Encoding.BGR8: image[..., ::-1], Encoding.MONO8: image[..., 0]}
    return [Seed(encoding, np.ascontiguousarray(part).tobytes(), width, height) for encoding, part in pixels.items()]
