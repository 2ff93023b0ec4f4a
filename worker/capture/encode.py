"""From a picture to the bytes that travel: crop, resize, encode; a file's own bytes where possible."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from worker.capture.source import BgrImage, Picture
from worker.errors import ImageError, SourceError
from worker.inference import decode as inspection
from worker.settings import LimitSettings
from worker.types import Encoding, Frame

_ANY_SIZE = LimitSettings(max_bytes=2**40, max_pixels=2**30, min_side=1)  # a crop may make it fit the line's limits
_SUFFIX = {Encoding.JPEG: ".jpg", Encoding.PNG: ".png", Encoding.WEBP: ".webp", Encoding.BMP: ".bmp"}


class Box(NamedTuple):
    """A rectangle in pixels, from the upper left corner."""

    x: int
    y: int
    w: int
    h: int


class Size(NamedTuple):
    """Width and height in pixels."""

    w: int
    h: int


@dataclass(frozen=True, slots=True)
class EncodeOptions:
    """How pictures travel: `crop`, then `resize`, then `encoding`; `quality` 1–100 is for jpeg and webp.

    `encoding` None: an image file keeps its own, all else is jpeg (TIFF files: png, which loses nothing).
    """

    encoding: Encoding | None = None
    quality: int = 90
    crop: Box | None = None
    resize: Size | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 100:
            raise SourceError(f"quality must be from 1 to 100, got {self.quality}")


class Encoded(NamedTuple):
    """A frame's bytes; `width` and `height` are set for the raw encodings only, which need them."""

    data: bytes
    encoding: Encoding
    width: int = 0
    height: int = 0


def parse_crop(text: str) -> Box:
    """`x,y,w,h` in pixels, as in `0,0,640,480`.

    Raises:
        SourceError: the text has another form, or the box is empty.
    """
    match = re.fullmatch(r"([0-9]{1,5}),([0-9]{1,5}),([0-9]{1,5}),([0-9]{1,5})", text.replace(" ", ""))
    box = Box(*map(int, match.groups())) if match else None
    if box is None or not (box.w and box.h):
        raise SourceError(f"crop must be x,y,width,height in pixels, as in 0,0,640,480; got {text!r}")
    return box


def parse_size(text: str) -> Size:
    """`WxH` in pixels, as in `512x512`.

    Raises:
        SourceError: the text has another form, or a side is 0.
    """
    match = re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})", text.replace(" ", "").lower())
    size = Size(*map(int, match.groups())) if match else None
    if size is None or not (size.w and size.h):
        raise SourceError(f"size must be WIDTHxHEIGHT in pixels, as in 512x512; got {text!r}")
    return size


def encode(picture: Picture, options: EncodeOptions) -> Encoded:
    """Crop, resize and encode a picture as `options` say.

    A file's bytes pass unchanged where nothing else is asked for, and where they cannot be decoded: the line
    dead-letters those with a reason, so that a broken file does not vanish unseen here.

    Raises:
        SourceError: the crop reaches out of the picture, or the picture does not fit the encoding.
    """
    wanted = options.encoding or picture.encoding or (Encoding.PNG if picture.data else Encoding.JPEG)
    if picture.image is None and wanted is picture.encoding and not (options.crop or options.resize):
        return Encoded(picture.data, wanted)
    image = decode(picture.data) if picture.image is None else picture.image
    if image is None:
        return Encoded(picture.data, picture.encoding or Encoding.JPEG)
    if options.crop:
        image = _crop(image, options.crop, picture.name)
    if options.resize and options.resize != (image.shape[1], image.shape[0]):
        shrinks = options.resize.w * options.resize.h < image.shape[0] * image.shape[1]
        method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        image = cv2.resize(image, options.resize, interpolation=method)
    return _pack(image, wanted, options.quality)


def decode(data: bytes) -> BgrImage | None:
    """H×W×3 BGR uint8 of an image file's bytes, turned as its EXIF says; None where they are not a sound image.

    What the line takes is decoded as the line does it, so that cropping does not make a damaged file look sound.
    """
    if not data:
        return None
    if kind := Encoding.of(data):
        try:
            return np.ascontiguousarray(inspection.decode(Frame("", data, kind), _ANY_SIZE)[..., ::-1])
        except ImageError:
            return None
    try:
        image: BgrImage | None = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:  # for one, more pixels than OpenCV allows
        return None
    return image


def _crop(image: BgrImage, box: Box, name: str) -> BgrImage:
    height, width = image.shape[:2]
    if box.x + box.w > width or box.y + box.h > height:
        crop = ",".join(map(str, box))
        raise SourceError(f"crop {crop} reaches out of picture {name}, which is {width}x{height}")
    return image[box.y : box.y + box.h, box.x : box.x + box.w]


def _pack(image: BgrImage, encoding: Encoding, quality: int) -> Encoded:
    if encoding.raw_channels:
        height, width = image.shape[:2]
        return Encoded(_reorder(image, encoding).tobytes(), encoding, width, height)
    flags = {Encoding.JPEG: cv2.IMWRITE_JPEG_QUALITY, Encoding.WEBP: cv2.IMWRITE_WEBP_QUALITY}
    parameters = [flags[encoding], quality] if encoding in flags else []
    try:
        done, data = cv2.imencode(_SUFFIX[encoding], image, parameters)
    except cv2.error as error:
        raise SourceError(_misfit(image, encoding)) from error
    if not done:
        raise SourceError(_misfit(image, encoding))
    return Encoded(data.tobytes(), encoding)


def _reorder(image: BgrImage, encoding: Encoding) -> BgrImage:
    conversions = {Encoding.RGB8: cv2.COLOR_BGR2RGB, Encoding.MONO8: cv2.COLOR_BGR2GRAY}
    if encoding in conversions:
        image = cv2.cvtColor(image, conversions[encoding])
    return image


def _misfit(image: BgrImage, encoding: Encoding) -> str:
    height, width = image.shape[:2]
    return f"a picture of {width}x{height} cannot be written as {encoding}; resize it or take another encoding"
