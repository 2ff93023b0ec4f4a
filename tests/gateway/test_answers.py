"""Answers to requests as PaddleX's clients make them, and to the further ones, by a real worker."""

from __future__ import annotations

import base64
from typing import Any

import cv2
import httpx
import models
import numpy as np
import numpy.typing as npt
import pytest
from runtime.pool import Pool

from worker.gateway.document.openapi import ENDPOINT
from worker.gateway.document.schemas import InspectResponse
from worker.inference.pictures import MASK_COLOURS
from worker.types import Result

from .service import Service, base64_of, wait_until


def result_of(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text[:500]
    InspectResponse.model_validate_json(response.content, strict=True)
    result = response.json()["result"]
    assert isinstance(result, dict)
    return result


def inspected(pool: Pool, frame: str) -> Result:
    (found,) = [one for one in pool.results() if one.frame == frame]
    return found


def decoded(data: str, flag: int) -> npt.NDArray[np.uint8]:
    return np.asarray(cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), flag), np.uint8)


def from_array(result: dict[str, Any]) -> npt.NDArray[np.uint8]:
    return np.array(result["labelMap"], np.uint8).reshape(result["size"])


def from_rle(result: dict[str, Any]) -> npt.NDArray[np.uint8]:
    """As COCO reads it."""
    counts, (height, width) = result["labelMap"]["counts"], result["labelMap"]["size"]
    values = np.repeat(np.arange(len(counts)) % 2 * 255, counts).astype(np.uint8)
    return values.reshape(width, height).T


@pytest.fixture(scope="module")
def defective(service: Service, pictures: list[bytes]) -> bytes:
    return next(one for one in pictures if result_of(service.post(one))["verdict"] == "NG")


def test_a_client_of_paddlex_gets_what_it_reads(service: Service, pool: Pool, pictures: list[bytes]) -> None:
    verdicts = set()
    for picture in pictures[:6]:
        response = service.http.post(ENDPOINT, json={"image": base64_of(picture)})
        answer, result = response.json(), result_of(response)
        assert (answer["errorCode"], answer["errorMsg"]) == (0, "Success")
        assert answer["logId"]
        assert result["size"] == [models.SIDE, models.SIDE]
        assert len(result["labelMap"]) == models.SIDE**2
        # The mask is the worker's, and the picture of it has PaddleX's colours
        found = inspected(pool, result["frame"])
        mask = decoded(base64.b64encode(found.label_map).decode(), cv2.IMREAD_GRAYSCALE)
        assert np.array_equal(from_array(result), mask)
        assert (found.verdict.value, found.camera) == (result["verdict"], "http")
        assert (result["score"], result["threshold"]) == (found.score, found.threshold)
        assert (result["verdict"] == "NG") == bool(mask.any()) == bool(result["regions"])
        drawn = decoded(result["image"], cv2.IMREAD_COLOR)[..., ::-1].astype(int)
        distances = [np.abs(drawn - colour).sum(axis=2) for colour in MASK_COLOURS.values()]
        assert np.mean((distances[1] < distances[0]) == (mask > 0)) > 0.98
        verdicts.add(result["verdict"])
    assert verdicts == {"OK", "NG"}


def test_the_picture_of_the_mask_is_left_out_where_it_is_not_wanted(service: Service, pictures: list[bytes]) -> None:
    assert "image" in result_of(service.post(pictures[0]))
    assert "image" in result_of(service.post(pictures[0], visualize=None))
    for spelling in (False, 0, "false", "False"):
        assert "image" not in result_of(service.post(pictures[0], visualize=spelling))
    with Service(service.settings.redis.url.get_secret_value(), gateway__visualize=False) as other:
        assert "image" not in result_of(other.post(pictures[0]))
        assert "image" in result_of(other.post(pictures[0], visualize=True))


def test_array_png_and_rle_say_the_same_in_both_sizes(
    service: Service, pictures: list[bytes], defective: bytes
) -> None:
    for picture in (pictures[0], defective):
        height, width = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_GRAYSCALE).shape
        for size, shape in (("model", (models.SIDE, models.SIDE)), ("image", (height, width))):
            form = {"labelMapSize": size, "visualize": False}
            array, png, rle = (
                result_of(service.post(picture, labelMapEncoding=encoding, **form))
                for encoding in ("array", "png", "rle")
            )
            assert array["size"] == png["size"] == rle["size"] == rle["labelMap"]["size"] == list(shape)
            mask = from_array(array)
            assert np.array_equal(decoded(png["labelMap"], cv2.IMREAD_GRAYSCALE), mask)
            assert np.array_equal(from_rle(rle), mask)
            assert set(np.unique(mask)) <= {0, 255}
            assert bool(mask.any()) == (array["verdict"] == "NG")


def test_a_labelmap_of_the_pictures_size_is_the_models_enlarged(service: Service, defective: bytes) -> None:
    small = from_array(result_of(service.post(defective)))
    large = result_of(service.post(defective, labelMapSize="image"))
    mask = from_array(large)
    rows = ((np.arange(mask.shape[0]) + 0.5) * small.shape[0] / mask.shape[0]).astype(int)
    columns = ((np.arange(mask.shape[1]) + 0.5) * small.shape[1] / mask.shape[1]).astype(int)
    assert np.mean(mask == small[np.ix_(rows, columns)]) > 0.99
    assert decoded(large["image"], cv2.IMREAD_COLOR).shape[:2] == mask.shape


def test_what_a_request_says_of_a_part_stands_on_its_result(
    service: Service, pool: Pool, pictures: list[bytes]
) -> None:
    response = service.post(
        pictures[0], camera="left", partId="Teil 1042 ä", logId="mine", deadlineMs=20_000.0, unknown={"a": [1]}
    )
    assert response.json()["logId"] == "mine"
    found = inspected(pool, result_of(response)["frame"])
    assert (found.camera, found.part_id) == ("left", "Teil 1042 ä")


@pytest.mark.parametrize("extension", [".jpg", ".png", ".webp", ".bmp"])
def test_every_kind_of_picture_is_known_by_its_bytes(service: Service, extension: str) -> None:
    assert result_of(service.post(models.jpeg(models.images(1)[0], extension)))["verdict"] in ("OK", "NG")


def test_base64_may_be_a_data_url_or_broken_into_lines(service: Service, pictures: list[bytes]) -> None:
    wanted = result_of(service.post(pictures[0]))["score"]
    lines = base64.encodebytes(pictures[0]).decode()
    for text in (f"data:image/jpeg;base64,{base64_of(pictures[0])}", lines, lines.replace("\n", "\r\n")):
        assert result_of(service.post(text))["score"] == wanted


def test_a_large_picture_is_taken_too(service: Service) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (1200, 1000, 3), dtype=np.uint8)
    picture = models.jpeg(noise, ".png")
    assert len(picture) > 3_000_000
    assert result_of(service.post(picture, labelMapSize="image", labelMapEncoding="rle"))["size"] == [1200, 1000]
    assert result_of(service.post(base64.encodebytes(picture).decode()))["size"] == [models.SIDE, models.SIDE]


def test_a_content_type_may_say_more(service: Service, pictures: list[bytes]) -> None:
    for kind in ("application/json; charset=utf-8", "Application/JSON", "application/vnd.plant+json"):
        content = f'{{"image": "{base64_of(pictures[0])}"}}'
        response = service.http.post(ENDPOINT, content=content, headers={"Content-Type": kind})
        assert response.status_code == 200
    assert service.http.post(f"{ENDPOINT}/", json={"image": base64_of(pictures[0])}).status_code == 200


def test_many_clients_at_once_are_published_together_and_each_gets_its_own(
    service: Service, pool: Pool, pictures: list[bytes]
) -> None:
    scores = [result_of(service.post(picture))["score"] for picture in pictures]
    before = len(pool.results())
    asked = [service.post_soon(pictures[number % 12], partId=str(number), visualize=False) for number in range(96)]
    answers = [result_of(one.result()) for one in asked]
    # Each has the verdict on its own picture, once
    assert [answer["score"] for answer in answers] == pytest.approx([scores[number % 12] for number in range(96)])
    found = {one.frame: one.part_id for one in pool.results()[before:]}
    assert [found[answer["frame"]] for answer in answers] == [str(number) for number in range(96)]
    assert len(found) == 96
    # And several went by one call: what one call adds has ids of one millisecond
    assert any(not answer["frame"].endswith("-0") for answer in answers)


def test_nothing_is_left_of_requests_that_were_answered(service: Service, pool: Pool, pictures: list[bytes]) -> None:
    for one in [service.post_soon(picture) for picture in pictures * 3]:
        result_of(one.result())

    def replies_left() -> int:
        found = pool.client.execute_command("KEYS", pool.keys.reply("*"))
        return sum(pool.client.execute_command("XLEN", key) for key in found)

    wait_until(lambda: replies_left() == 0, "a reply stream that is empty")
    assert service.metric("line_gateway_waiting") == 0
    assert pool.books().difference == 0
    assert pool.books().backlog == 0
