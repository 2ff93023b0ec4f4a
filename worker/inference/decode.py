"""From a frame's bytes to an RGB image, refusing what would not be inspected honestly.

Limits are checked on the header, before anything is allocated. A truncated file is refused: decoders fill
what is missing with grey, and a verdict on grey is no verdict.
"""

from __future__ import annotations

import io
import warnings

import cv2
import numpy as np
import PIL.Image

from worker.errors import ImageError
from worker.settings import LimitSettings
from worker.types import Encoding, Frame, Image

# Pillow's own limit is softer than ours; its warning is no news. Set here: decode runs in threads.
warnings.filterwarnings("ignore", category=PIL.Image.DecompressionBombWarning)

_PIL_FORMAT = {Encoding.JPEG: "JPEG", Encoding.PNG: "PNG", Encoding.BMP: "BMP"}
_TAIL_BYTES = 4096  # padding that some cameras put behind the end of a JPEG


def decode(frame: Frame, limits: LimitSettings) -> Image:
    """The frame's image.

    Grey becomes three equal channels, 16 bits become 8, alpha is dropped, CMYK is converted; an EXIF
    orientation is applied, as PaddleX's reader does.

    Returns:
        H×W×3, RGB, uint8.

    Raises:
        ImageError: `too_large`, `too_small`, `size_mismatch`, `not_an_image`, `encoding_mismatch`, `truncated`.
    """
    if len(frame.data) > limits.max_bytes:
        raise ImageError("too_large", f"{len(frame.data)} bytes; limits.max_bytes is {limits.max_bytes}")
    if frame.encoding.raw_channels:
        _check_size(frame.width, frame.height, limits)
        return _decode_raw(frame)
    width, height = _read_header(frame)
    _check_size(width, height, limits)
    _check_end(frame)
    return _decode_compressed(frame)


def _check_size(width: int, height: int, limits: LimitSettings) -> None:
    if width * height > limits.max_pixels:
        raise ImageError("too_large", f"{width}×{height} pixels; limits.max_pixels is {limits.max_pixels}")
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


def _read_header(frame: Frame) -> tuple[int, int]:
    """(width, height) from the header alone; no pixel is decoded and nothing of their size allocated."""
    kind = Encoding.of(frame.data)
    if kind is None:
        raise ImageError(
            "not_an_image", f"data holds no JPEG, PNG, WebP or BMP image; it begins with {frame.data[:12]!r}"
        )
    if kind is not frame.encoding:
        raise ImageError("encoding_mismatch", f"encoding says {frame.encoding}, the bytes are {kind}")
    if kind is Encoding.WEBP:  # Pillow makes room for the whole picture when it opens one
        return _read_webp_header(frame.data)
    try:
        with PIL.Image.open(io.BytesIO(frame.data), formats=[_PIL_FORMAT[kind]]) as image:
            width, height = image.size
            return width, height
    except PIL.Image.DecompressionBombError as error:
        raise ImageError("too_large", "far more pixels in its header than limits.max_pixels allows") from error
    except PIL.UnidentifiedImageError as error:
        raise ImageError("not_an_image", f"the {kind}'s header is damaged or cut off") from error
    except Exception as error:  # a decoder fed with hostile bytes raises whatever it likes
        raise ImageError("not_an_image", f"the {kind}'s header cannot be read: {error}"[:300]) from error


def _read_webp_header(data: bytes) -> tuple[int, int]:
    """(width, height) as the first chunk says them (Google's WebP container specification)."""
    chunk = data[12:16]
    if len(data) >= 30 and chunk == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF
    if len(data) >= 25 and chunk == b"VP8L" and data[20] == 0x2F:
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if len(data) >= 30 and chunk == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    raise ImageError("not_an_image", "the webp's header cannot be read")


def _check_end(frame: Frame) -> None:
    data = frame.data
    whole = True
    if frame.encoding is Encoding.JPEG:
        whole = b"\xff\xd9" in data[-_TAIL_BYTES:]
    elif frame.encoding is Encoding.PNG:
        whole = b"IEND" in data[-_TAIL_BYTES:]
    elif frame.encoding is Encoding.WEBP:
        whole = len(data) >= int.from_bytes(data[4:8], "little") + 8
    if not whole:
        raise ImageError("truncated", f"the {frame.encoding} ends early, after {len(data)} bytes")


def _decode_compressed(frame: Frame) -> Image:
    try:
        image = cv2.imdecode(np.frombuffer(frame.data, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error as error:
        raise ImageError("not_an_image", f"the {frame.encoding} cannot be decoded: {error.err}") from error
    if image is None:
        raise ImageError("not_an_image", f"the {frame.encoding} cannot be decoded: its data are damaged")
    return np.asarray(image, np.uint8)
