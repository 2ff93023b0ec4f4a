"""What is kept of a frame."""

from __future__ import annotations

import json
import math

import cv2
import models
import numpy as np
import pytest

from worker.evidence.record import contents
from worker.inference.decode import decode
from worker.inference.pictures import overlay
from worker.settings import LimitSettings
from worker.types import Encoding, Frame, Verdict

from .kept import LINE, label_map, record

LIMITS = LimitSettings()
IMAGE = models.images(1)[0]


def kept(**fields: object) -> dict[str, bytes]:
    return contents(record(**fields), LINE, LIMITS)


def as_image(data: bytes) -> np.ndarray:
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB))


@pytest.mark.parametrize(
    ("encoding", "ending"),
    [(Encoding.JPEG, "jpg"), (Encoding.PNG, "png"), (Encoding.WEBP, "webp"), (Encoding.BMP, "bmp")],
)
def test_the_frame_is_kept_byte_for_byte(encoding: Encoding, ending: str) -> None:
    data = models.jpeg(IMAGE, f".{ending}")
    files = kept(data=data, encoding=encoding)
    assert list(files) == [ending, "overlay.jpg", "label_map.png", "json"]
    assert files[ending] == data


@pytest.mark.parametrize("encoding", [Encoding.BGR8, Encoding.RGB8, Encoding.MONO8])
def test_a_raw_frame_is_kept_as_a_png_of_the_same_pixels(encoding: Encoding) -> None:
    height, width = IMAGE.shape[:2]
    pixels = np.ascontiguousarray(IMAGE[..., 0] if encoding is Encoding.MONO8 else IMAGE)
    files = kept(data=pixels.tobytes(), encoding=encoding, width=width, height=height)
    frame = Frame("c1", pixels.tobytes(), encoding, width, height)
    assert np.array_equal(as_image(files["png"]), decode(frame, LIMITS))
    text = json.loads(files["json"])
    assert (text["encoding"], text["width"], text["height"]) == (encoding.value, width, height)


@pytest.mark.parametrize("data", [b"too short", b"x" * 100_000])
def test_a_raw_frame_without_the_bytes_of_its_size_is_kept_as_it_is(data: bytes) -> None:
    fields = {"encoding": Encoding.BGR8, "width": 2**31, "height": 2**31, "label_map": b"", "verdict": Verdict.LATE}
    files = kept(data=data, **fields)
    assert files["raw"] == data
    assert list(files) == ["raw", "json"]


def test_what_nobody_could_decode_is_kept_too() -> None:
    files = kept(data=b"no picture", label_map=b"", verdict=Verdict.LATE)
    assert files["jpg"] == b"no picture"
    assert list(files) == ["jpg", "json"]


def test_a_picture_that_cannot_be_drawn_on_is_kept_without_the_drawing() -> None:
    assert list(kept(data=b"no picture")) == ["jpg", "label_map.png", "json"]


def test_the_overlay_is_that_of_predict() -> None:
    one = record(data=models.jpeg(IMAGE))
    files = contents(one, LINE, LIMITS)
    drawn = overlay(decode(one.frame, LIMITS), label_map(), one.result.regions)
    shown = as_image(files["overlay.jpg"])
    assert shown.shape == drawn.shape
    assert np.abs(shown.astype(int) - drawn).mean() < 12
    assert np.array_equal(cv2.imdecode(np.frombuffer(files["label_map.png"], np.uint8), -1), label_map())


def test_the_json_holds_every_field_of_the_result() -> None:
    one = record(7, reason="größer", part_id="№ 7", timings={"infer": 1.5}, model="m", image_size=(91, 65))
    text = json.loads(contents(one, LINE, LIMITS)["json"])
    names = set(type(one.result).__dataclass_fields__) - {"id", "label_map"}
    assert names < set(text)
    assert (text["line"], text["verdict"], text["seq"], text["part_id"]) == (LINE, "NG", 7, "№ 7")
    assert text["image_size"] == [91, 65]
    assert text["regions"] == [{"x": 2, "y": 3, "w": 9, "h": 9, "area": 60, "score": 0.5}]
    assert text["committed_at"] == one.at
    assert set(text["files"]) == {"jpg", "overlay.jpg", "label_map.png"}
    assert "reply_to" not in text


def test_a_score_that_is_no_number_is_null_so_that_any_reader_takes_the_json() -> None:
    text = json.loads(kept(score=math.nan)["json"], parse_constant=pytest.fail)
    assert text["score"] is None
