"""Encoded pictures for the decoder's tests, and what it says of them."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import PIL.Image
import pytest

from worker.errors import ImageError
from worker.inference.decode import decode
from worker.settings import LimitSettings
from worker.types import Encoding, Frame, Image

LIMITS = LimitSettings()
HEIGHT, WIDTH = 40, 60


def saved(image: Image | PIL.Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    (image if isinstance(image, PIL.Image.Image) else PIL.Image.fromarray(image)).save(file, kind, **options)
    return file.getvalue()


def frame(data: bytes, encoding: Encoding = Encoding.JPEG, width: int = 0, height: int = 0) -> Frame:
    return Frame("c1", data, encoding, width, height)


def refusal(one: Frame, limits: LimitSettings = LIMITS) -> str:
    with pytest.raises(ImageError) as caught:
        decode(one, limits)
    assert str(caught.value)
    return caught.value.reason


def close(image: Image, expected: Image, tolerance: float = 6) -> bool:
    return image.shape == expected.shape and float(np.abs(image.astype(int) - expected.astype(int)).mean()) < tolerance


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of these chunks, their checksums right."""
    parts = [struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d)) for t, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)
