"""From a frame's bytes to an RGB image, refusing what would not be inspected honestly.

Limits are checked on the header, before anything is allocated. A truncated or damaged file is refused: decoders
fill what is missing with grey or with whatever stood in memory, and a verdict on that is no verdict.
"""

from __future__ import annotations

import cv2
import numpy as np
import simplejpeg

from worker.errors import ImageError
from worker.inference.headers import Header, read_header
from worker.inference.png import pixels_only
from worker.settings import LimitSettings
from worker.types import Encoding, Frame, Image

# What libjpeg-turbo says where it can go on: of a scan that is not as it should be, and of a header that is odd.
_DAMAGE = ("Corrupt JPEG data", "Premature end", "Inconsistent progression")
_ODDITIES = ("subsampling", "JFIF revision", "Adobe color transform", "Invalid SOS parameters")


def decode(frame: Frame, limits: LimitSettings) -> Image:
    """The frame's image.

    Grey becomes three equal channels, 16 bits become 8, alpha is dropped, CMYK is converted; an EXIF
    orientation is applied, as PaddleX's reader does.

    Returns:
        H×W×3, RGB, uint8.

    Raises:
        ImageError: `too_large`, `too_small`, `size_mismatch`, `not_an_image`, `encoding_mismatch`, `truncated`,
            `damaged`, `unsupported`.
    """
    if len(frame.data) > limits.max_bytes:
        raise ImageError("too_large", f"{len(frame.data)} bytes; limits.max_bytes is {limits.max_bytes}")
    if frame.encoding.raw_channels:
        _check_size(frame.width, frame.height, limits)
        return _decode_raw(frame)
    _check_kind(frame)
    header = checked_header(frame.data, frame.encoding, limits)
    if frame.encoding is Encoding.JPEG and limits.refuse_damaged:
        image = _turned(_decode_jpeg(frame.data), header.orientation)
    else:
        image = _decode_by_opencv(frame)
    _check_shape(image, header)
    return image


def checked_header(data: bytes, encoding: Encoding, limits: LimitSettings) -> Header:
    """The header of a compressed image that is worth decoding; no pixel of it is looked at.

    Args:
        data: begins as images of this `encoding` do.

    Raises:
        ImageError: `too_large`, `too_small`, `not_an_image`, `truncated`, `unsupported`.
    """
    header = read_header(data, encoding)
    _check_size(header.width, header.height, limits)
    if not header.whole:
        raise ImageError("truncated", f"the {encoding} ends early, after {len(data)} bytes")
    if header.scans > limits.max_scans:
        raise ImageError("too_large", f"{header.scans} scans; limits.max_scans is {limits.max_scans}")
    return header


def _check_size(width: int, height: int, limits: LimitSettings) -> None:
    if width * height > limits.max_pixels:
        raise ImageError("too_large", f"{width}×{height} pixels; limits.max_pixels is {limits.max_pixels}")
    if max(width, height) > limits.max_side:
        raise ImageError("too_large", f"{width}×{height} pixels; limits.max_side is {limits.max_side}")
    if min(width, height) < limits.min_side:
        raise ImageError("too_small", f"{width}×{height} pixels; limits.min_side is {limits.min_side}")


def _decode_raw(frame: Frame) -> Image:
    channels = frame.encoding.raw_channels
    expected = frame.width * frame.height * channels
    if len(frame.data) != expected:
        raise ImageError(
            "size_mismatch",
            f"{frame.encoding} of {frame.width}×{frame.height} is {expected} bytes, not {len(frame.data)}",
        )
    pixels = np.frombuffer(frame.data, np.uint8).reshape(frame.height, frame.width, channels)
    if frame.encoding is Encoding.RGB8:
        return pixels
    to_rgb = cv2.COLOR_BGR2RGB if frame.encoding is Encoding.BGR8 else cv2.COLOR_GRAY2RGB
    return np.asarray(cv2.cvtColor(pixels, to_rgb), np.uint8)


def _check_kind(frame: Frame) -> None:
    kind = Encoding.of(frame.data)
    if kind is None:
        raise ImageError(
            "not_an_image", f"data holds no JPEG, PNG, WebP or BMP image; it begins with {frame.data[:12]!r}"
        )
    if kind is not frame.encoding:
        raise ImageError("encoding_mismatch", f"encoding says {frame.encoding}, the bytes are {kind}")


def _decode_jpeg(data: bytes) -> Image:
    """By libjpeg-turbo, as OpenCV does and to the same pixels, but hearing its warnings, which OpenCV drops.

    A JPEG has no checksum. What the decoder notices is that a scan does not end where it should: a part that is
    missing, overwritten or foreign. A few flipped bits that still make a valid scan pass.
    """
    try:
        return np.asarray(simplejpeg.decode_jpeg(data, "RGB"), np.uint8)
    except ValueError as error:
        told = str(error)[:200]
    lenient = "limits.refuse_damaged=false takes it as far as it can be read"
    if told.startswith(_DAMAGE):
        raise ImageError("damaged", f"{told}; {lenient}")
    if any(oddity in told for oddity in _ODDITIES):  # behind which damage would not be seen
        raise ImageError("unsupported", f"an unusual jpeg: {told}; {lenient}")
    raise ImageError("not_an_image", f"the jpeg cannot be decoded: {told}")


def _turned(image: Image, orientation: int) -> Image:
    """Upright, from how EXIF says that it is stored (5 to 8 swap the sides)."""
    if orientation >= 5:
        image = image.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)


def _decode_by_opencv(frame: Frame) -> Image:
    data = pixels_only(frame.data) if frame.encoding is Encoding.PNG else frame.data
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error as error:
        raise ImageError("not_an_image", f"the {frame.encoding} cannot be decoded: {error.err}"[:300]) from error
    if image is None:
        raise ImageError("damaged", f"the {frame.encoding} cannot be decoded: its data are damaged")
    return np.asarray(image, np.uint8)


def _check_shape(image: Image, header: Header) -> None:
    """The limits were those of the header: another size would have gone past them."""
    if sorted(image.shape[:2]) != sorted((header.height, header.width)):
        raise ImageError(
            "damaged",
            f"the header says {header.width}×{header.height} pixels, the picture is {image.shape[1]}×{image.shape[0]}",
        )
