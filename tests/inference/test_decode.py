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
from worker.inference.png import pixels_only
from worker.settings import LimitSettings
from worker.types import Encoding, Frame, Image

LIMITS = LimitSettings()
HEIGHT, WIDTH = 40, 60
FILES = (Encoding.JPEG, Encoding.PNG, Encoding.WEBP, Encoding.BMP)


@pytest.fixture(scope="module")
def picture() -> Image:
    """Smooth, with a red, a green and a blue corner, so that a swapped channel or a turned image shows."""
    corners = np.array([[[250, 10, 10], [10, 250, 10]], [[10, 10, 250], [200, 200, 200]]], np.uint8)
    return cv2.resize(corners, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)


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


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"quality": 1}, {"subsampling": 2}])
def test_every_way_to_write_a_jpeg_is_read(options: dict[str, Any], picture: Image) -> None:
    assert close(decode(frame(saved(picture, "JPEG", **options)), LIMITS), picture, tolerance=30)


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


def textured(mode: str = "RGB", **options: Any) -> bytes:
    """A JPEG of some tens of kilobytes, so that a hole in it is a small part."""
    chance = np.random.default_rng(3)
    smooth = cv2.resize(chance.integers(0, 255, (12, 16, 3), dtype=np.uint8), (321, 243)).astype(int)
    noisy = np.clip(smooth + chance.integers(-9, 10, smooth.shape), 0, 255).astype(np.uint8)
    return saved(PIL.Image.fromarray(noisy).convert(mode), "JPEG", **{"quality": 90} | options)


def holes(data: bytes) -> dict[str, bytes]:
    """The file as networks and disks damage it, its end marker always in place."""
    at = len(data) // 2
    return {
        "a packet is lost": data[:at] + data[at + 1460 :],
        "a sector is zero": data[:at] + bytes(512) + data[at + 512 :],
        "the rest never came": data[:at] + data[-2:],
        "a packet of another picture": data[:at] + textured(quality=20)[-2000:-540] + data[at + 1460 :],
    }


@pytest.mark.parametrize("what", holes(textured()))
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 20}, {"subsampling": 0}])
def test_a_jpeg_with_a_hole_in_it_is_refused_though_it_has_its_end(what: str, options: dict[str, Any]) -> None:
    damaged = holes(textured(**options))[what]
    assert damaged.endswith(b"\xff\xd9")
    assert refusal(frame(damaged)) == "damaged"
    # A camera that writes so all the time can be borne with, on purpose
    assert decode(frame(damaged), LimitSettings(refuse_damaged=False)).shape == (243, 321, 3)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize(
    "options",
    [{"subsampling": s, "progressive": p, "quality": q} for s in (0, 1, 2) for p in (False, True) for q in (3, 75, 98)]
    + [{"restart_marker_blocks": 5}, {"optimize": True}, {"keep_rgb": True}],
)
def test_a_jpeg_has_the_pixels_that_opencv_and_so_paddlex_reads(mode: str, options: dict[str, Any]) -> None:
    data = textured(mode, **options)
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert np.array_equal(decode(frame(data), LimitSettings(refuse_damaged=False)), expected)
    if mode == "CMYK" and options.get("subsampling"):  # which only a printer's program writes
        assert refusal(frame(data)) == "unsupported"
    else:
        assert np.array_equal(decode(frame(data), LIMITS), expected)


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


def test_a_jpeg_of_thousands_of_scans_is_refused_before_they_are_decoded() -> None:
    data = saved(PIL.Image.new("L", (64, 64)), "JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    scans = data.count(b"\xff\xda")
    bomb = data[:-2] + last * 5_000 + b"\xff\xd9"
    assert refusal(frame(bomb)) == "too_large"
    assert decode(frame(data), LimitSettings(max_scans=scans)).shape == (64, 64, 3)
    assert refusal(frame(data), LimitSettings(max_scans=scans - 1)) == "too_large"


def test_the_preview_in_a_jpeg_is_not_taken_for_the_picture(picture: Image) -> None:
    """EXIF may hold a small JPEG with markers of its own."""
    preview = saved(PIL.Image.new("RGB", (16, 16)), "JPEG")
    data = saved(picture, "JPEG")
    body = b"Exif\0\0II*\0\x08\0\0\0\0\0" + preview
    whole = data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]
    assert np.array_equal(decode(frame(whole), LIMITS), decode(frame(data), LIMITS))
    assert refusal(frame(whole[:-200])) == "truncated"


@pytest.mark.parametrize(
    ("marker", "offset", "value"), [(b"JFIF\0", 5, b"\2"), (b"Adobe", 11, b"\7"), (b"\xff\xda", 11, bytes(3))]
)
def test_an_odd_jpeg_is_refused_since_damage_would_not_be_seen_behind_the_warning(
    marker: bytes, offset: int, value: bytes
) -> None:
    data = textured("CMYK" if marker == b"Adobe" else "RGB", subsampling=0)
    at = data.index(marker) + offset
    odd = data[:at] + value + data[at + len(value) :]
    assert refusal(frame(odd)) == "unsupported"
    assert decode(frame(odd), LimitSettings(refuse_damaged=False)).shape == (243, 321, 3)


@pytest.mark.parametrize("process", [0xC3, 0xC5, 0xC7, 0xCB, 0xCF])
def test_a_jpeg_of_a_process_that_no_camera_uses_is_refused(process: int, picture: Image) -> None:
    data = saved(picture, "JPEG").replace(b"\xff\xc0\x00\x11\x08", bytes([0xFF, process, 0, 0x11, 8]))
    assert refusal(frame(data)) == "unsupported"


def test_a_jpeg_of_twelve_bits_is_refused(picture: Image) -> None:
    data = saved(picture, "JPEG").replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc1\x00\x11\x0c")
    assert refusal(frame(data)) == "unsupported"


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of these chunks, their checksums right."""
    parts = [struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d)) for t, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


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


def test_a_jpeg_of_nothing_but_fill_bytes_is_refused_at_a_glance() -> None:
    assert refusal(frame(b"\xff\xd8\xff\xe0" + b"\xff" * 30_000_000)) == "not_an_image"
    assert refusal(frame(b"\xff\xd8\xff" + b"\xff\0" * 15_000_000)) == "unsupported"


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
