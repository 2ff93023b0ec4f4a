"""Crop, resize and encode."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from worker.capture.encode import Box, EncodeOptions, Size, encode, parse_crop, parse_size
from worker.capture.source import Picture
from worker.errors import SourceError
from worker.types import Encoding

PIXELS = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
PICTURE = Picture(1, "x", image=PIXELS)


def unpack(data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


@pytest.mark.parametrize("encoding", [Encoding.PNG, Encoding.BMP])
def test_lossless_encodings_lose_nothing(encoding: Encoding) -> None:
    assert (unpack(encode(PICTURE, EncodeOptions(encoding)).data) == PIXELS).all()


@pytest.mark.parametrize("encoding", [Encoding.JPEG, Encoding.WEBP])
def test_quality_trades_bytes(encoding: Encoding) -> None:
    low, high = (len(encode(PICTURE, EncodeOptions(encoding, quality)).data) for quality in (10, 95))
    assert low < high


def test_raw_encodings_are_the_pixels_and_tell_their_size() -> None:
    bgr, rgb, mono = (encode(PICTURE, EncodeOptions(e)) for e in (Encoding.BGR8, Encoding.RGB8, Encoding.MONO8))
    assert bgr.data == PIXELS.tobytes()
    assert rgb.data == PIXELS[:, :, ::-1].tobytes()
    assert mono.data == cv2.cvtColor(PIXELS, cv2.COLOR_BGR2GRAY).tobytes()
    assert {(e.width, e.height) for e in (bgr, rgb, mono)} == {(40, 30)}


def test_a_camera_sends_jpeg_unless_told_otherwise() -> None:
    assert encode(PICTURE, EncodeOptions()).encoding is Encoding.JPEG


def test_the_crop_comes_before_the_resize() -> None:
    options = EncodeOptions(Encoding.BGR8, crop=Box(5, 6, 10, 12), resize=Size(20, 24))
    encoded = encode(PICTURE, options)
    assert (encoded.width, encoded.height) == (20, 24)
    cropped = encode(PICTURE, EncodeOptions(Encoding.BGR8, crop=Box(5, 6, 10, 12)))
    assert cropped.data == PIXELS[6:18, 5:15].tobytes()


def test_a_file_keeps_its_encoding_when_it_is_cropped() -> None:
    data = cv2.imencode(".png", PIXELS)[1].tobytes()
    encoded = encode(Picture(1, "x", data=data, encoding=Encoding.PNG), EncodeOptions(crop=Box(0, 0, 8, 8)))
    assert encoded.encoding is Encoding.PNG
    assert (unpack(encoded.data) == PIXELS[:8, :8]).all()


@pytest.mark.parametrize("encoding", [Encoding.JPEG, Encoding.PNG])
def test_a_damaged_file_passes_as_it_is_so_that_the_line_sees_the_damage(encoding: Encoding) -> None:
    data = bytearray(encode(PICTURE, EncodeOptions(encoding)).data)
    middle = len(data) // 2
    data[middle : middle + 300] = bytes(300)
    picture = Picture(1, "x", data=bytes(data), encoding=encoding)
    assert encode(picture, EncodeOptions(crop=Box(0, 0, 8, 8))).data == bytes(data)


def test_a_crop_out_of_the_picture_is_refused() -> None:
    with pytest.raises(SourceError, match="crop 30,0,20,10 reaches out of picture x, which is 40x30"):
        encode(PICTURE, EncodeOptions(crop=Box(30, 0, 20, 10)))


def test_a_picture_beyond_the_encoding_is_refused() -> None:
    wide = Picture(1, "x", image=np.zeros((1, 70_000, 3), np.uint8))
    for encoding in (Encoding.JPEG, Encoding.WEBP):
        with pytest.raises(SourceError, match="70000x1 cannot be written"):
            encode(wide, EncodeOptions(encoding))


@pytest.mark.parametrize("text", ["", "1,2,3", "0,0,0,5", "-1,0,5,5", "a,b,c,d", "1.5,0,5,5"])
def test_a_crop_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(SourceError, match="crop must be"):
        parse_crop(text)


@pytest.mark.parametrize("text", ["", "512", "0x5", "5x", "5x5x5"])
def test_a_size_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(SourceError, match="size must be"):
        parse_size(text)


def test_sizes_and_crops_are_read() -> None:
    assert parse_size("512X256") == Size(512, 256)
    assert parse_crop("1, 2, 3, 4") == Box(1, 2, 3, 4)


@pytest.mark.parametrize("quality", [0, 101])
def test_quality_has_bounds(quality: int) -> None:
    with pytest.raises(SourceError, match="from 1 to 100"):
        EncodeOptions(quality=quality)
