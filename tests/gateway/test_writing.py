"""LabelMaps in each encoding, and Base64 in each way that clients write it; what holds for any of them."""

from __future__ import annotations

import base64
import json
import textwrap
from contextlib import suppress

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from worker.gateway.answers import label_maps
from worker.gateway.answers.write import Form, write
from worker.gateway.document.schemas import InspectResponse
from worker.gateway.failures import Failure
from worker.gateway.pictures import from_base64
from worker.inference.postprocess import encode_label_map
from worker.types import Region, Result, Verdict

Mask = npt.NDArray[np.uint8]

masks = arrays.arrays(
    np.uint8, arrays.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.sampled_from([0, 255])
)


@given(masks)
def test_any_mask_comes_back_from_each_encoding(mask: Mask) -> None:
    assert json.loads(label_maps.as_array(mask)) == mask.reshape(-1).tolist()
    png = base64.b64decode(json.loads(label_maps.as_png(mask)))
    assert np.array_equal(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED), mask)
    rle = json.loads(label_maps.as_rle(mask))
    assert rle["size"] == list(mask.shape)
    assert all(count > 0 for count in rle["counts"][1:])
    values = np.repeat(np.arange(len(rle["counts"])) % 2 * 255, rle["counts"])
    assert np.array_equal(values.reshape(mask.shape[::-1]).T, mask)


@given(st.tuples(st.integers(1, 12), st.integers(1, 12)))
def test_an_empty_mask_is_written_as_any_other(size: tuple[int, int]) -> None:
    mask = np.zeros(size, np.uint8)
    for name, encode in label_maps.ENCODERS.items():
        assert label_maps.EMPTY[name](size) == encode(mask)
    assert label_maps.empty_picture(size) == label_maps.as_picture(mask)
    assert label_maps.is_empty(encode_label_map(mask), size)


@given(masks, st.tuples(st.integers(1, 40), st.integers(1, 40)))
def test_a_scaled_mask_has_the_nearest_pixels(mask: Mask, size: tuple[int, int]) -> None:
    large = label_maps.scaled(mask, size)
    assert large.shape == size
    assert set(np.unique(large)) <= set(np.unique(mask))
    height, width = (given / wanted for wanted, given in zip(size, mask.shape, strict=True))
    for (row, column), value in np.ndenumerate(large):
        assert value == mask[int((row + 0.5) * height + 1e-9), int((column + 0.5) * width + 1e-9)]


@given(masks, st.sampled_from(["array", "png", "rle"]), st.booleans(), st.booleans(), st.text(max_size=20))
def test_an_answer_is_what_the_document_says(
    mask: Mask, encoding: str, in_image_size: bool, visualize: bool, log_id: str
) -> None:
    result = Result(
        frame="1-1",
        camera="c",
        verdict=Verdict.NG if mask.any() else Verdict.OK,
        score=0.125,
        threshold=0.25,
        size=mask.shape,
        image_size=(20, 30),
        label_map=encode_label_map(mask),
        regions=(Region(1, 2, 3, 4, 5, 0.5),),
    )
    body = write(result, Form(log_id, in_image_size, encoding, visualize))
    answer = InspectResponse.model_validate_json(body, strict=True)
    assert answer.logId == log_id
    assert answer.result.size == ((20, 30) if in_image_size else mask.shape)
    assert (answer.result.image is not None) == visualize
    assert answer.result.verdict == result.verdict.value
    assert (answer.result.score, answer.result.frame) == (0.125, "1-1")
    assert answer.result.regions[0].model_dump() == {"x": 1, "y": 2, "w": 3, "h": 4, "area": 5, "score": 0.5}


@given(st.binary(min_size=1, max_size=500), st.integers(4, 80), st.sampled_from(["\n", "\r\n", " "]))
def test_base64_is_read_however_it_is_broken(data: bytes, width: int, gap: str) -> None:
    text = base64.b64encode(data).decode()
    assert from_base64(text) == data
    assert from_base64(gap.join(textwrap.wrap(text, width))) == data
    assert from_base64(f"data:image/png;base64,{text}") == data


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(Failure):
        assert isinstance(from_base64(text), bytes)


def test_long_base64_is_read_in_pieces_and_as_strictly() -> None:
    data = np.random.default_rng(0).bytes(2_500_001)
    text = base64.b64encode(data).decode()
    assert from_base64(text) == data
    assert from_base64(base64.encodebytes(data).decode()) == data
    for wrong in (text[:-1], text[:1_000_000] + "!" + text[1_000_001:], text[: 2**20 - 1] + "=" + text[2**20 :]):
        with pytest.raises(Failure, match="neither Base64"):
            from_base64(wrong)
