"""Score, labelMap, verdict and regions are one thing, and are what PaddleX and scikit-image say."""

from __future__ import annotations

import math
import struct
from dataclasses import astuple

import cv2
import hypothesis.extra.numpy as arrays
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage import measure, morphology

from worker.inference.postprocess import MAX_REGIONS, encode_label_map, eroded, opened, postprocess
from worker.types import Region, Verdict

Map = npt.NDArray[np.float32]
DISK = morphology.disk(4)

shapes = st.tuples(st.integers(1, 40), st.integers(1, 40))


@st.composite
def maps(draw: st.DrawFn) -> Map:
    """Noise, steps and blobs; few levels, so that ties with a threshold happen."""
    shape = draw(shapes)
    chance = np.random.default_rng(draw(st.integers(0, 2**32)))
    levels = draw(st.integers(2, 9))
    coarse = chance.integers(0, levels, (max(1, shape[0] // draw(st.integers(1, 12))), max(1, shape[1] // 8)))
    made = cv2.resize(coarse.astype(np.float32), shape[::-1], interpolation=cv2.INTER_NEAREST)
    return np.asarray(made / levels, np.float32)


def paddlex_mask(anomaly_map: Map, threshold: float) -> npt.NDArray[np.uint8]:
    """PaddleX, uad/processors.py: mask[map > threshold] = 1; morphology.opening(mask, disk(4)); mask *= 255."""
    mask = np.zeros_like(anomaly_map)
    mask[anomaly_map > np.float32(threshold)] = 1
    return (morphology.opening(mask, DISK) * 255).astype(np.uint8)


@given(maps(), st.floats(0, 1))
def test_opening_commutes_with_thresholding_so_every_labelmap_is_paddlex_mask(anomaly_map: Map, limit: float) -> None:
    assert np.array_equal(postprocess(anomaly_map, limit, (99, 99)).label_map, paddlex_mask(anomaly_map, limit))


@given(arrays.arrays(np.float32, shapes, elements=st.floats(0, 1, width=32)))
def test_the_opening_is_scikit_images_bit_for_bit(anomaly_map: Map) -> None:
    assert np.array_equal(opened(eroded(anomaly_map)), morphology.opening(anomaly_map, DISK))


@given(arrays.arrays(np.float32, shapes, elements=st.floats(-10, 10, width=32)), st.floats(-10, 10))
def test_the_score_is_the_maximum_of_scikit_images_opening_bit_for_bit(anomaly_map: Map, threshold: float) -> None:
    """On either side of the threshold: below it the opening is not finished."""
    assert postprocess(anomaly_map, threshold, (9, 9)).score == morphology.opening(anomaly_map, DISK).max()


@given(maps(), st.data())
def test_score_labelmap_verdict_and_regions_never_disagree_not_even_at_ties(
    anomaly_map: Map, data: st.DataObject
) -> None:
    values = [float(value) for value in np.unique(anomaly_map)]
    near = [math.nextafter(value, way) for value in values for way in (-1, 2)]  # a double beside a float32
    threshold = data.draw(st.sampled_from([value for value in [*values, *near, 0.0] if value >= 0]))
    prediction = postprocess(anomaly_map, threshold, (80, 120))
    bad = prediction.score > prediction.threshold
    assert bad == bool(prediction.label_map.any()) == bool(prediction.regions) == (prediction.verdict is Verdict.NG)
    assert set(np.unique(prediction.label_map)) <= {0, 255}
    assert prediction.label_map.dtype == np.uint8
    if bad:
        assert prediction.regions[0].score == prediction.score


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_map_with_a_value_that_is_no_number_is_invalid_and_never_ok(value: float) -> None:
    anomaly_map = np.zeros((64, 64), np.float32)
    anomaly_map[3, 5] = value  # one pixel, which an opening would make vanish
    prediction = postprocess(anomaly_map, 0.5, (64, 64))
    assert prediction.verdict is Verdict.INVALID
    assert math.isnan(prediction.score)
    assert not prediction.label_map.any()


@st.composite
def parts_with_anomalies(draw: st.DrawFn) -> Map:
    """Good all over but for a few boxes with noise in them, at the borders too."""
    height, width = draw(st.tuples(st.integers(1, 90), st.integers(1, 90)))
    chance = np.random.default_rng(draw(st.integers(0, 2**32)))
    made = chance.uniform(0, 0.4, (height, width)).astype(np.float32)
    for _ in range(draw(st.integers(1, 3))):
        y, x = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
        box = made[y : y + draw(st.integers(1, 30)), x : x + draw(st.integers(1, 30))]
        box[...] = 0.5 + chance.random(box.shape, np.float32)
    return made


@given(maps() | parts_with_anomalies(), st.floats(0, 1), st.tuples(st.integers(8, 500), st.integers(8, 500)))
def test_labelmap_and_regions_are_those_of_the_whole_map_opened(
    anomaly_map: Map, threshold: float, image_size: tuple[int, int]
) -> None:
    """Only what surrounds the anomalies is opened: nothing is lost by it."""
    prediction = postprocess(anomaly_map, threshold, image_size)
    whole = morphology.opening(anomaly_map, DISK)
    mask = whole > np.float32(threshold)
    assert np.array_equal(prediction.label_map, mask * np.uint8(255))
    labels = measure.label(mask, connectivity=2)
    scale_y, scale_x = image_size[0] / mask.shape[0], image_size[1] / mask.shape[1]
    plain = []
    for box in measure.regionprops(labels):
        top, left, bottom, right = (
            round(edge * scale) for edge, scale in zip(box.bbox, [scale_y, scale_x] * 2, strict=True)
        )
        size = max(1, round(int(box.area) * scale_x * scale_y))
        score = float(whole[labels == box.label].max())
        plain.append(Region(left, top, max(1, right - left), max(1, bottom - top), size, score))
    assert len(plain) <= MAX_REGIONS
    assert sorted(map(astuple, prediction.regions)) == sorted(map(astuple, plain))


def test_regions_are_in_pixels_of_the_cameras_image_highest_score_first() -> None:
    # Given a map of 64×64 over an image of 128×256 with a weak wide and a strong narrow anomaly
    anomaly_map = np.zeros((64, 64), np.float32)
    anomaly_map[10:30, 5:45] = 0.3
    anomaly_map[40:60, 50:62] = 0.9
    strong, weak = postprocess(anomaly_map, 0.1, (128, 256)).regions
    # Then x is scaled by 4, y by 2, the area by 8
    assert (strong.x, strong.y, strong.w, strong.h) == (200, 80, 48, 40)
    assert (weak.x, weak.y, weak.w, weak.h) == (20, 20, 160, 40)
    assert (strong.score, weak.score) == pytest.approx((0.9, 0.3))
    mask = postprocess(anomaly_map, 0.1, (128, 256)).label_map
    assert (strong.area, weak.area) == (int((mask[35:] > 0).sum()) * 8, int((mask[:35] > 0).sum()) * 8)


@given(maps(), st.tuples(st.integers(8, 500), st.integers(8, 500)))
def test_regions_lie_inside_the_image(anomaly_map: Map, image_size: tuple[int, int]) -> None:
    for region in postprocess(anomaly_map, 0.1, image_size).regions:
        assert region.x >= 0
        assert region.y >= 0
        assert region.w >= 1
        assert region.h >= 1
        assert region.x + region.w <= image_size[1]
        assert region.y + region.h <= image_size[0]
        assert 1 <= region.area <= image_size[0] * image_size[1]


def test_a_map_full_of_anomalies_names_the_worst_and_not_all() -> None:
    anomaly_map = np.zeros((200, 200), np.float32)
    count = 0
    for y in range(0, 190, 12):
        for x in range(0, 190, 12):
            count += 1
            anomaly_map[y : y + 9, x : x + 9] = count / 300
    regions = postprocess(anomaly_map, 0.001, (200, 200)).regions
    assert len(regions) == MAX_REGIONS
    worst = [n / 300 for n in range(count, count - MAX_REGIONS, -1)]
    assert [region.score for region in regions] == pytest.approx(worst)


@given(arrays.arrays(np.bool_, shapes))
def test_the_png_is_one_channel_and_holds_the_labelmap(mask: npt.NDArray[np.bool_]) -> None:
    label_map = mask.astype(np.uint8) * 255
    read = cv2.imdecode(np.frombuffer(encode_label_map(label_map), np.uint8), cv2.IMREAD_UNCHANGED)
    assert read.ndim == 2
    assert read.dtype == np.uint8
    assert np.array_equal(read, label_map)


@given(shapes)
def test_the_png_of_an_empty_labelmap_is_kept_for_each_shape(shape: tuple[int, int]) -> None:
    empty = np.zeros(shape, np.uint8)
    first, again = encode_label_map(empty), encode_label_map(empty)
    assert first is again
    assert np.array_equal(cv2.imdecode(np.frombuffer(first, np.uint8), cv2.IMREAD_UNCHANGED), empty)


def test_the_png_says_eight_bits_and_one_grey_channel() -> None:
    for shade in (0, 255):
        data = encode_label_map(np.full((256, 200), shade, np.uint8))
        assert struct.unpack(">IIBBBBB", data[16:29]) == (200, 256, 8, 0, 0, 0, 0)
