"""What an image file says of itself before any pixel is decoded: its size, how it is turned, how it was written.

Nothing of the picture's size is allocated here, and every loop is bounded: the bytes may be anyone's. A reader
follows its format's specification only as far as the decoder behind it needs the same fields.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from worker.errors import ImageError
from worker.types import Encoding

_MAX_SEGMENTS = 1_000  # before a JPEG's first scan; an ICC profile alone may take 255
_MARKERS_WITHOUT_LENGTH = frozenset([0x01, *range(0xD0, 0xD8)])
_SOF, _NOT_SOF = range(0xC0, 0xD0), (0xC4, 0xC8, 0xCC)
_READ_SOF = (0xC0, 0xC1, 0xC2, 0xC9, 0xCA)  # baseline, extended, progressive, and the two with arithmetic coding
_SOS, _EOI, _APP1 = 0xDA, 0xD9, 0xE1
_NOT_FILL = re.compile(rb"[^\xff]")  # any number of 0xFF may stand before a marker's code
_BMP_PLAIN, _BMP_BITFIELDS = 0, 3


@dataclass(frozen=True, slots=True)
class Header:
    """`width` × `height` pixels as stored; `whole` is False where the file ends before its image does;
    `orientation` (as in EXIF) and `scans` (the passes over the picture that the decoder has to make) are a JPEG's."""

    width: int
    height: int
    whole: bool = True
    orientation: int = 1
    scans: int = 1


def read_header(data: bytes, kind: Encoding) -> Header:
    """The header of a compressed image that begins as `kind` does.

    Raises:
        ImageError: `not_an_image` where there is no such header, `unsupported` where a camera's picture is never
            written so (animated, 12 bits, lossless JPEG, …).
    """
    return _READERS[kind](data)


def _read_jpeg(data: bytes) -> Header:
    at, size, orientation = 2, None, 1
    for _ in range(_MAX_SEGMENTS):
        marker, at = _jpeg_marker(data, at)
        body, at = _jpeg_segment(data, at, marker)
        if marker in _SOF and marker not in _NOT_SOF:
            size = _jpeg_size(marker, body)
        elif marker == _APP1 and body.startswith(b"Exif\0\0") and orientation == 1:
            orientation = _exif_orientation(body[6:])
        elif marker == _SOS:
            break
    else:
        raise ImageError("unsupported", f"the jpeg has more than {_MAX_SEGMENTS} segments before its first scan")
    if size is None:
        raise ImageError("not_an_image", "the jpeg's header does not say its size")
    whole = data.rfind(b"\xff\xd9") >= at
    return Header(*size, whole, orientation, scans=1 + _further_scans(data, at))


def _further_scans(data: bytes, at: int) -> int:
    """The markers of a scan from here on. In numpy: bytes.count takes eight times as long, and the GIL meanwhile."""
    marked = np.frombuffer(data, np.uint8)[at:]
    scans = marked[:-1] == 0xFF
    scans &= marked[1:] == _SOS
    return int(np.count_nonzero(scans))


def _jpeg_marker(data: bytes, at: int) -> tuple[int, int]:
    """The next marker, and where it ends; what stands before it is skipped, as every decoder does."""
    first = data.find(b"\xff", at)
    found = _NOT_FILL.search(data, first) if first >= 0 else None
    if found is None or found[0][0] == _EOI:
        raise ImageError("not_an_image", "the jpeg's header is cut off: no scan begins in it")
    return found[0][0], found.end()


def _jpeg_segment(data: bytes, at: int, marker: int) -> tuple[bytes, int]:
    """What a marker carries, and where it ends."""
    if marker == 0 or marker in _MARKERS_WITHOUT_LENGTH:
        return b"", at
    length = int.from_bytes(data[at : at + 2], "big")
    if length < 2 or at + length > len(data):
        raise ImageError("not_an_image", "the jpeg's header is damaged or cut off")
    return data[at + 2 : at + length], at + length


def _jpeg_size(marker: int, body: bytes) -> tuple[int, int]:
    if len(body) < 6:
        raise ImageError("not_an_image", "the jpeg's header is damaged or cut off")
    if marker not in _READ_SOF or body[0] != 8:
        raise ImageError("unsupported", f"a jpeg of process SOF{marker - 0xC0} with {body[0]} bits a sample")
    return int.from_bytes(body[3:5], "big"), int.from_bytes(body[1:3], "big")


def _exif_orientation(tiff: bytes) -> int:
    """The orientation that an EXIF block says; 1 (upright) where it says none or is damaged."""
    order = {b"II*\0": "little", b"MM\0*": "big"}.get(tiff[:4])
    if order is None:
        return 1

    def number(at: int, size: int) -> int:
        return int.from_bytes(tiff[at : at + size], "little" if order == "little" else "big")

    directory = number(4, 4)
    for entry in range(directory + 2, directory + 2 + 12 * number(directory, 2), 12):
        if entry + 12 > len(tiff):
            break
        if number(entry, 2) == 0x0112:
            value = number(entry + 8, 2)
            return value if 1 <= value <= 8 else 1
    return 1


def _read_png(data: bytes) -> Header:
    if data[12:16] != b"IHDR" or len(data) < 33:
        raise ImageError("not_an_image", "the png's header is damaged or cut off")
    return Header(int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big"))


def _read_bmp(data: bytes) -> Header:
    header_size = int.from_bytes(data[14:18], "little")
    if header_size == 12 and len(data) >= 26:
        width, height = int.from_bytes(data[18:20], "little"), int.from_bytes(data[20:22], "little")
        bits, compression = int.from_bytes(data[24:26], "little"), _BMP_PLAIN
    elif header_size >= 40 and len(data) >= 54:
        width = int.from_bytes(data[18:22], "little", signed=True)
        height = abs(int.from_bytes(data[22:26], "little", signed=True))  # below 0: the first row is the top one
        bits, compression = int.from_bytes(data[28:30], "little"), int.from_bytes(data[30:34], "little")
    else:
        raise ImageError("not_an_image", "the bmp's header is damaged or cut off")
    starts = int.from_bytes(data[10:14], "little")
    if width < 0 or starts < 14 + header_size:
        raise ImageError("not_an_image", "the bmp's header is damaged")
    if compression not in (_BMP_PLAIN, _BMP_BITFIELDS):
        raise ImageError("unsupported", f"a bmp of compression {compression}")
    return Header(width, height, whole=starts + (width * bits + 31) // 32 * 4 * height <= len(data))


def _read_webp(data: bytes) -> Header:
    """By the first chunk, as Google's WebP container specification has it."""
    chunk = data[12:16]
    if chunk == b"VP8 " and len(data) >= 30 and data[23:26] == b"\x9d\x01\x2a":
        width, height = (int.from_bytes(data[at : at + 2], "little") & 0x3FFF for at in (26, 28))
    elif chunk == b"VP8L" and len(data) >= 25 and data[20] == 0x2F:
        bits = int.from_bytes(data[21:25], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif chunk == b"VP8X" and len(data) >= 30:
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
        if data[20] & 2:
            raise ImageError("unsupported", "an animated webp: a frame is one picture")
    else:
        raise ImageError("not_an_image", "the webp's header cannot be read")
    return Header(width, height, whole=int.from_bytes(data[4:8], "little") + 8 <= len(data))


_READERS = {
    Encoding.JPEG: _read_jpeg,
    Encoding.PNG: _read_png,
    Encoding.WEBP: _read_webp,
    Encoding.BMP: _read_bmp,
}
