"""JPEGs to images: every kind that cameras write, and a named refusal for every damaged or odd one."""

from __future__ import annotations

import struct
from typing import Any

import cv2
import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.inference.decode import decode
from worker.inference.headers import read_header
from worker.settings import LimitSettings
from worker.types import Encoding, Image

from .encoded import LIMITS, close, frame, refusal, saved


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"quality": 1}, {"subsampling": 2}])
def test_every_way_to_write_a_jpeg_is_read(options: dict[str, Any], picture: Image) -> None:
    assert close(decode(frame(saved(picture, "JPEG", **options)), LIMITS), picture, tolerance=30)


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


def test_a_jpeg_of_thousands_of_scans_is_refused_before_they_are_decoded() -> None:
    data = saved(PIL.Image.new("L", (64, 64)), "JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    scans = data.count(b"\xff\xda")
    bomb = data[:-2] + last * 5_000 + b"\xff\xd9"
    assert refusal(frame(bomb)) == "too_large"
    assert decode(frame(data), LimitSettings(max_scans=scans)).shape == (64, 64, 3)
    assert refusal(frame(data), LimitSettings(max_scans=scans - 1)) == "too_large"


@given(st.lists(st.sampled_from([b"\xff", b"\xda", b"\xd9", b"\0", b"\xff\xda", bytes(40)]), max_size=60))
def test_every_scan_is_counted_wherever_it_begins(parts: list[bytes]) -> None:
    data, scan = textured(), b"".join(parts)
    begins = data.index(b"\xff\xda") + 2
    begins += int.from_bytes(data[begins : begins + 2], "big")
    header = read_header(data[:begins] + scan, Encoding.JPEG)
    assert header.scans == 1 + scan.count(b"\xff\xda")
    assert header.whole == (b"\xff\xd9" in scan)


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


def test_a_jpeg_of_nothing_but_fill_bytes_is_refused_at_a_glance() -> None:
    assert refusal(frame(b"\xff\xd8\xff\xe0" + b"\xff" * 30_000_000)) == "not_an_image"
    assert refusal(frame(b"\xff\xd8\xff" + b"\xff\0" * 15_000_000)) == "unsupported"
