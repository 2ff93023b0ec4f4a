"""A labelMap as JSON, in each encoding that a request may ask for. Nearly all are empty, which costs nothing here."""

from __future__ import annotations

import base64
from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from worker.inference.pictures import mask_jpeg
from worker.inference.postprocess import encode_label_map

Mask = npt.NDArray[np.uint8]
"""H×W, uint8, 255 = anomaly, 0 = normal."""
Size = tuple[int, int]
_PIXELS = (b"0,", b"255,")


def is_empty(png: bytes, size: Size) -> bool:
    """Whether these are the bytes of a labelMap without an anomaly; one that was written elsewhere may be none the
    less."""
    return png == _empty_png(size)


def decode(png: bytes) -> Mask:
    """The labelMap of a result."""
    return np.asarray(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE), np.uint8)


def scaled(mask: Mask, size: Size) -> Mask:
    """The same in another size, (H, W): each pixel takes the value of the one that its centre lies in."""
    rows, columns = (
        (2 * np.arange(wanted) + 1) * given // (2 * wanted) for wanted, given in zip(size, mask.shape, strict=True)
    )
    return np.asarray(mask[rows][:, columns], np.uint8)


def as_array(mask: Mask) -> bytes:
    """`[0,255,…]`, row by row."""
    flat = mask.reshape(-1)
    value, at, runs = int(flat[0] > 0), 0, []
    for end in [*_edges(flat).tolist(), flat.size]:
        runs.append(_PIXELS[value] * (end - at))
        value, at = 1 - value, end
    return b"[%b]" % b"".join(runs)[:-1]


def as_png(mask: Mask) -> bytes:
    """The Base64 of a single-channel PNG."""
    return _quoted(encode_label_map(mask))


def as_rle(mask: Mask) -> bytes:
    """COCO's uncompressed run-length encoding: the lengths of alternating runs, column by column, the first of normal
    pixels (0 long where the first pixel is an anomaly)."""
    flat = mask.T.reshape(-1)
    counts = np.diff(_edges(flat), prepend=0, append=flat.size).tolist()
    return _rle([0, *counts] if flat[0] else counts, mask.shape[:2])


def as_picture(mask: Mask) -> bytes:
    """The Base64 of a JPEG, as PaddleX draws a mask."""
    return _quoted(mask_jpeg(mask))


def empty_array(size: Size) -> bytes:
    """The same of a labelMap without an anomaly."""
    return b"[%b0]" % (b"0," * (size[0] * size[1] - 1))


def empty_rle(size: Size) -> bytes:
    """The same of a labelMap without an anomaly."""
    return _rle([size[0] * size[1]], size)


@lru_cache(maxsize=16)
def empty_png(size: Size) -> bytes:
    """The same of a labelMap without an anomaly."""
    return _quoted(_empty_png(size))


@lru_cache(maxsize=16)
def empty_picture(size: Size) -> bytes:
    """The same of a labelMap without an anomaly."""
    return as_picture(np.zeros(size, np.uint8))


ENCODERS: dict[str, Callable[[Mask], bytes]] = {"array": as_array, "png": as_png, "rle": as_rle}
EMPTY: dict[str, Callable[[Size], bytes]] = {"array": empty_array, "png": empty_png, "rle": empty_rle}


@lru_cache(maxsize=16)
def _empty_png(size: Size) -> bytes:
    return encode_label_map(np.zeros(size, np.uint8))


def _edges(flat: npt.NDArray[np.uint8]) -> npt.NDArray[np.intp]:
    """Where a run begins, but for the first."""
    return np.flatnonzero(flat[1:] != flat[:-1]) + 1


def _quoted(data: bytes) -> bytes:
    return b'"%b"' % base64.b64encode(data)


def _rle(counts: list[int], size: tuple[int, ...]) -> bytes:
    return b'{"size":[%d,%d],"counts":[%b]}' % (size[0], size[1], ",".join(map(str, counts)).encode())
