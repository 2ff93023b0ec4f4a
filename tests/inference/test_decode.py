"""Bytes to images: every kind of good one, and a named refusal for every kind of bad one."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from typing import Any

import cv2
import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import ImageError
from worker.inference.decode import decode
from worker.settings import LimitSettings
from worker.types import Encoding, Image

from .encoded import HEIGHT, LIMITS, WIDTH, close, frame, png, refusal, saved

FILES = (Encoding.JPEG, Encoding.PNG, Encoding.WEBP, Encoding.BMP)


@pytest.mark.parametrize("encoding", FILES)
def test_every_file_format_gives_rgb(encoding: Encoding, picture: Image) -> None:
    image = decode(frame(saved(picture, encoding.value), encoding), LIMITS)
    assert image.dtype == np.uint8
    assert close(image, picture)


@pytest.mark.parametrize("encoding", [Encoding.RGB8, Encoding.BGR8, Encoding.MONO8])
def test_raw_bytes_give_rgb(encoding: Encoding, picture: Image) -> None:
    grey = picture[..., 1]
    data = {"rgb8": picture, "bgr8": picture[..., ::-1], "mono8": grey}[encoding.value].tobytes()
    expected = np.dstack([grey] * 3) if encoding is Encoding.MONO8 else picture
    assert np.array_equal(decode(frame(data, encoding, WIDTH, HEIGHT), LIMITS), expected)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP"])
def test_grey_becomes_three_equal_channels(kind: str, picture: Image) -> None:
    grey = PIL.Image.fromarray(picture).convert("L")
    image = decode(frame(saved(grey, kind), Encoding(kind.lower())), LIMITS)
    assert close(image, np.dstack([np.asarray(grey)] * 3))
    assert np.array_equal(image[..., 0], image[..., 2])


def test_sixteen_bits_become_eight(picture: Image) -> None:
    deep = picture[..., 0].astype(np.uint16) * 257
    image = decode(frame(saved(PIL.Image.fromarray(deep), "PNG"), Encoding.PNG), LIMITS)
    assert close(image, np.dstack([picture[..., 0]] * 3), tolerance=1)


def test_sixteen_bits_of_colour_become_eight(picture: Image) -> None:
    done, data = cv2.imencode(".png", picture[..., ::-1].astype(np.uint16) * 257)
    assert done
    assert close(decode(frame(data.tobytes(), Encoding.PNG), LIMITS), picture, tolerance=1)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "1"])
@pytest.mark.parametrize("encoding", [Encoding.PNG, Encoding.WEBP])
def test_alpha_and_palettes_become_rgb(mode: str, encoding: Encoding, picture: Image) -> None:
    source = PIL.Image.fromarray(picture).convert("L" if mode in ("LA", "1") else "RGB").convert(mode)
    if encoding is Encoding.WEBP:
        source = source.convert("RGBA" if mode in ("RGBA", "LA") else "RGB")
    image = decode(frame(saved(source, encoding.value), encoding), LIMITS)
    assert close(image, np.asarray(source.convert("RGB")), tolerance=20)


def test_alpha_is_dropped_and_not_blended(picture: Image) -> None:
    clear = np.dstack([picture, np.zeros((HEIGHT, WIDTH), np.uint8)])
    assert np.array_equal(decode(frame(saved(clear, "PNG"), Encoding.PNG), LIMITS), picture)


def test_cmyk_is_converted(picture: Image) -> None:
    ink = PIL.Image.fromarray(picture).convert("CMYK")
    image = decode(frame(saved(ink, "JPEG", quality=95, subsampling=0)), LIMITS)
    assert close(image, picture, tolerance=25)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_in_exif_is_applied(kind: str, orientation: int, picture: Image) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    data = saved(picture, kind, exif=exif)
    upright = np.asarray(PIL.ImageOps.exif_transpose(PIL.Image.open(io.BytesIO(data))))
    assert close(decode(frame(data, Encoding(kind.lower())), LIMITS), upright)


def test_padding_behind_the_end_is_borne(picture: Image) -> None:
    for padding in (b"\x00" * 100, b"\xff" * 4000):
        assert close(decode(frame(saved(picture, "JPEG") + padding), LIMITS), picture)


@pytest.mark.parametrize("size", [(8, 8), (9, 200), (301, 17)])
@pytest.mark.parametrize(
    ("chunk", "options"),
    [(b"VP8 ", {}), (b"VP8L", {"lossless": True}), (b"VP8X", {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"})],
)
def test_a_webp_is_judged_by_the_size_that_it_really_has(
    chunk: bytes, options: dict[str, Any], size: tuple[int, int]
) -> None:
    # Given a WebP of each of the three kinds
    data = saved(PIL.Image.new("RGB", size, (200, 30, 40)), "WEBP", **options)
    assert data[12:16] == chunk
    one = frame(data, Encoding.WEBP)
    assert decode(one, LIMITS).shape == (size[1], size[0], 3)
    # Then exactly its own number of pixels and its own shorter side are the limits it just meets
    pixels, side = size[0] * size[1], min(size)
    assert decode(one, LimitSettings(max_pixels=pixels, min_side=side)).size == pixels * 3
    assert refusal(one, LimitSettings(max_pixels=pixels - 1)) == "too_large"
    assert refusal(one, LimitSettings(min_side=side + 1)) == "too_small"


@pytest.mark.parametrize("encoding", FILES)
@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 7)])
def test_an_image_too_small_to_inspect_is_refused(encoding: Encoding, size: tuple[int, int]) -> None:
    data = saved(PIL.Image.new("RGB", size), encoding.value)
    assert refusal(frame(data, encoding)) == "too_small"


@pytest.mark.parametrize(("width", "height"), [(0, 0), (0, 40), (40, 0)])
@pytest.mark.parametrize("encoding", [Encoding.PNG, Encoding.BMP, Encoding.JPEG, Encoding.WEBP])
def test_an_image_of_no_pixels_is_refused(encoding: Encoding, width: int, height: int) -> None:
    assert refusal(frame(claiming(encoding, width, height), encoding)) in ("too_small", "not_an_image")


def claiming(encoding: Encoding, width: int, height: int) -> bytes:
    """A small file whose header says that it is this large."""
    if encoding is Encoding.PNG:
        header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        return png((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
    if encoding is Encoding.WEBP and 0 in (width, height):  # lossless cannot say 0, lossy can
        lossy = saved(PIL.Image.new("RGB", (16, 16)), "webp")
        return lossy[:26] + struct.pack("<HH", width, height) + lossy[30:]
    small = saved(PIL.Image.new("RGB", (16, 16)), encoding.value, **({"lossless": True} if encoding == "webp" else {}))
    if encoding is Encoding.BMP:
        return small[:18] + struct.pack("<ii", width, height) + small[26:]
    if encoding is Encoding.JPEG:
        at = small.index(b"\xff\xc0") + 5
        return small[:at] + struct.pack(">HH", height & 0xFFFF, width & 0xFFFF) + small[at + 4 :]
    bits = ((width - 1) & 0x3FFF) | ((height - 1) & 0x3FFF) << 14
    return small[:21] + struct.pack("<I", bits) + small[25:]


@pytest.mark.parametrize("encoding", FILES)
def test_a_huge_image_in_a_tiny_file_is_refused_before_anything_is_allocated(encoding: Encoding) -> None:
    side = {Encoding.PNG: 2**31 - 1, Encoding.BMP: 2**30, Encoding.JPEG: 65_500, Encoding.WEBP: 16_384}[encoding]
    one = frame(claiming(encoding, side, side), encoding)
    assert len(one.data) < 1000
    tracemalloc.start()
    assert refusal(one) == "too_large"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


@pytest.mark.parametrize("encoding", [Encoding.BGR8, Encoding.MONO8])
@pytest.mark.parametrize(("width", "height"), [(2**40, 2**40), (1, 1), (3, 1_000)])
def test_raw_bytes_of_an_impossible_size_are_refused(encoding: Encoding, width: int, height: int) -> None:
    assert refusal(frame(b"x" * 10, encoding, width, height)) in ("too_large", "too_small")


@pytest.mark.parametrize("wrong", [-1, 1])
@pytest.mark.parametrize("encoding", [Encoding.RGB8, Encoding.BGR8, Encoding.MONO8])
def test_raw_bytes_of_another_number_than_the_size_says_are_refused(encoding: Encoding, wrong: int) -> None:
    data = bytes(WIDTH * HEIGHT * encoding.raw_channels + wrong)
    assert refusal(frame(data, encoding, WIDTH, HEIGHT)) == "size_mismatch"


@pytest.mark.parametrize("encoding", FILES)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.99])
def test_a_truncated_file_is_refused(encoding: Encoding, share: float) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (100, 100, 3), dtype=np.uint8)
    data = saved(noise, encoding.value)
    assert refusal(frame(data[: int(len(data) * share)], encoding)) in ("truncated", "not_an_image")


@pytest.mark.parametrize(
    "data",
    [
        b"\x00" * 100,
        b"hello, world",
        b"GIF89a" + bytes(50),
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n",
        b"BM",
        b"RIFFxxxxWEBP",
    ],
)
def test_bytes_that_are_no_image_are_refused(data: bytes) -> None:
    assert {refusal(frame(data, encoding)) for encoding in FILES} <= {"not_an_image", "encoding_mismatch"}


@pytest.mark.parametrize("said", FILES)
@pytest.mark.parametrize("is_", FILES)
def test_a_file_of_another_format_than_it_says_is_refused(said: Encoding, is_: Encoding, picture: Image) -> None:
    one = frame(saved(picture, is_.value), said)
    if said is is_:
        assert decode(one, LIMITS).shape == picture.shape
    else:
        assert refusal(one) == "encoding_mismatch"


def test_more_bytes_than_allowed_are_refused_unread(picture: Image) -> None:
    data = saved(picture, "PNG")
    assert refusal(frame(data, Encoding.PNG), LimitSettings(max_bytes=len(data) - 1)) == "too_large"
    assert decode(frame(data, Encoding.PNG), LimitSettings(max_bytes=len(data))).shape == picture.shape


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_turned_picture_has_the_pixels_that_opencv_and_so_paddlex_reads(
    orientation: int, kind: str, picture: Image
) -> None:
    exif = PIL.Image.Exif()
    exif[0x010F] = "a maker"
    exif[0x0112] = orientation
    data = saved(picture, kind, exif=exif)
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    for limits in (LIMITS, LimitSettings(refuse_damaged=False)):
        assert np.array_equal(decode(frame(data, Encoding(kind.lower())), limits), expected)


@pytest.mark.parametrize("encoding", [Encoding.PNG, Encoding.WEBP])
def test_an_animation_is_refused(encoding: Encoding, picture: Image) -> None:
    more = [PIL.Image.fromarray(picture[::-1])]
    data = saved(picture, encoding.value, save_all=True, append_images=more)
    assert refusal(frame(data, encoding)) == "unsupported"


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_every_way_to_write_a_bmp_is_read_as_opencv_and_so_paddlex_does(mode: str, picture: Image) -> None:
    data = saved(PIL.Image.fromarray(picture).convert(mode), "BMP")
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert np.array_equal(decode(frame(data, Encoding.BMP), LIMITS), expected)
    down = data[:22] + struct.pack("<i", -HEIGHT) + data[26:]
    assert np.array_equal(decode(frame(down, Encoding.BMP), LIMITS), expected[::-1])


@pytest.mark.parametrize("compression", [1, 2, 4, 5, 2**31])
def test_a_packed_bmp_is_refused(compression: int, picture: Image) -> None:
    data = saved(picture, "BMP")
    assert refusal(frame(data[:30] + struct.pack("<I", compression) + data[34:], Encoding.BMP)) == "unsupported"


def test_a_picture_longer_than_allowed_is_refused() -> None:
    one = frame(bytes(8 * 6_000_000), Encoding.MONO8, 6_000_000, 8)
    assert refusal(one) == "too_large"
    assert refusal(frame(saved(PIL.Image.new("L", (301, 9)), "PNG"), Encoding.PNG), LimitSettings(max_side=300)) == (
        "too_large"
    )


@given(data=st.data(), encoding=st.sampled_from(FILES))
def test_damaged_bytes_give_an_image_or_a_refusal_and_nothing_else(data: st.DataObject, encoding: Encoding) -> None:
    whole = bytearray(saved(PIL.Image.new("RGB", (16, 16), (9, 99, 199)), encoding.value))
    for _ in range(data.draw(st.integers(1, 5))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        image = decode(frame(bytes(whole), encoding), LimitSettings(max_pixels=100_000))
    except ImageError:
        return
    assert image.shape[0] * image.shape[1] <= 100_000
    assert image.shape[2] == 3
