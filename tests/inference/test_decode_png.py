"""PNGs to images: what harms a decoder in one never reaches it."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest

from worker.inference.decode import decode
from worker.inference.png import pixels_only
from worker.types import Encoding

from .encoded import LIMITS, frame, png, refusal, saved


def small_png(*between: tuple[bytes, bytes]) -> bytes:
    """8×8 grey, with more chunks behind the header."""
    header = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0)
    return png((b"IHDR", header), *between, (b"IDAT", zlib.compress(bytes(9 * 8))), (b"IEND", b""))


@pytest.mark.parametrize(
    ("kind", "head"), [(b"zTXt", b"a\0\0"), (b"iTXt", b"a\0\1\0\0\0"), (b"iCCP", b"a\0\0"), (b"tEXt", b"a\0")]
)
def test_what_a_png_holds_beside_its_pixels_is_not_unpacked(kind: bytes, head: bytes) -> None:
    bomb = (kind, head + zlib.compress(bytes(10_000_000), 9))
    plain, stuffed = small_png(), small_png(*[bomb] * 1_000)
    assert len(pixels_only(stuffed)) == len(plain)
    assert np.array_equal(decode(frame(stuffed, Encoding.PNG), LIMITS), decode(frame(plain, Encoding.PNG), LIMITS))


def test_a_png_whose_checksum_is_wrong_is_refused() -> None:
    whole = small_png()
    data_at = whole.index(b"IDAT")
    for at in (data_at + 5, len(whole) - 13, 20):
        broken = bytearray(whole)
        broken[at] ^= 1
        assert refusal(frame(bytes(broken), Encoding.PNG)) in ("damaged", "too_large")


@pytest.mark.parametrize("rows", [0, 4, 7])
def test_a_png_with_rows_missing_is_refused(rows: int) -> None:
    header = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0)
    data = png((b"IHDR", header), (b"IDAT", zlib.compress(bytes(9 * rows))), (b"IEND", b""))
    assert refusal(frame(data, Encoding.PNG)) == "damaged"


@pytest.mark.parametrize("kind", [b"PLTE", b"tRNS", b"eXIf"])
def test_a_png_does_not_flood_the_log(kind: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    assert refusal(frame(small_png(*[(kind, b"abc")] * 1_000), Encoding.PNG)) == "damaged"
    assert not capfd.readouterr().err


def test_a_png_of_a_million_chunks_is_refused() -> None:
    assert refusal(frame(small_png(*[(b"IDAT", b"")] * 100_000), Encoding.PNG)) == "unsupported"


def test_what_stands_behind_the_end_of_a_png_is_not_read() -> None:
    """Found by fuzzing: OpenCV made room for 3.9 GB there, which took ten seconds."""
    behind = struct.pack(">I", 3_892_510_720) + b"PLTE" + bytes(100)
    whole = small_png()
    assert np.array_equal(decode(frame(whole + behind, Encoding.PNG), LIMITS), np.zeros((8, 8, 3)))
    assert pixels_only(whole + behind) == whole
    header = struct.pack(">IIBBBBB", 8, 8, 16, 0, 0, 0, 0)
    assert refusal(frame(png((b"IHDR", header), (b"IEND", b"")) + behind, Encoding.PNG)) == "damaged"


def test_a_png_whose_data_unpack_to_more_than_its_pixels_is_refused_before_they_do() -> None:
    """OpenCV goes on to the end: two minutes for a picture of 8×8 in 30 MB."""
    packer = zlib.compressobj(9)
    start = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    more = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    header = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0)
    data = png((b"IHDR", header), (b"IDAT", start + more * 25_000), (b"IEND", b""))
    assert refusal(frame(data, Encoding.PNG)) == "too_large"


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_a_large_png_of_noise_is_read(mode: str) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (1_700, 1_300, 4), dtype=np.uint8)
    noise = {"RGB": noise[..., :3], "RGBA": noise, "L": noise[..., 0]}[mode]
    image = decode(frame(saved(noise, "PNG"), Encoding.PNG), LIMITS)
    assert np.array_equal(image[..., 0], noise[..., 0] if noise.ndim == 3 else noise)
