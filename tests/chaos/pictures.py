"""The pictures of the suite: good and bad ones, and those that must harm nobody but themselves."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np

from worker.types import Image

# RGB, as hooks/chaos_engine.py knows them.
KILLER, FAILER, HANGER = (255, 0, 255), (0, 255, 255), (255, 255, 0)
VARIANTS = 64
SIDE = 64
CYCLE, BAD_RUN = 48, 6


class Pictures:
    """`SIDE`×`SIDE` JPEGs by number: dark noise is good, a white patch in it is bad, in runs that raise alerts."""

    def __init__(self, seed: int) -> None:
        chance = np.random.default_rng(seed)
        self._good = [_jpeg(_noise(chance)) for _ in range(VARIANTS)]
        self._bad = [_jpeg(_with_patch(_noise(chance), chance)) for _ in range(VARIANTS)]

    def frame(self, seq: int) -> bytes:
        """The picture with this number."""
        return (self._bad if is_bad(seq) else self._good)[seq % VARIANTS]


def is_bad(seq: int) -> bool:
    """Whether the picture with this number shows a defect."""
    return seq % CYCLE >= CYCLE - BAD_RUN


def trap(colour: tuple[int, int, int]) -> bytes:
    """A picture of one colour, by which the engine of the suite knows what it has to do; see hooks/chaos_engine.py."""
    chance = np.random.default_rng(1)
    noise = chance.integers(-25, 25, (SIDE, SIDE, 3))
    return _jpeg(np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8))


def bomb() -> bytes:
    """A PNG whose header promises 60,000 × 60,000 pixels, and whose data are few."""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(1_000_000), 9)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _noise(chance: np.random.Generator) -> Image:
    return chance.integers(30, 90, (SIDE, SIDE, 3), dtype=np.uint8)


def _with_patch(image: Image, chance: np.random.Generator) -> Image:
    row, column = chance.integers(4, SIDE - 28, 2)
    image[row : row + 24, column : column + 24] = 250
    return image


def _jpeg(image: Image) -> bytes:
    done, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
    assert done
    return data.tobytes()
