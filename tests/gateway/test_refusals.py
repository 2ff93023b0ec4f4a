"""What a request can have wrong, and that the answer says so: never an OK, never a 500."""

from __future__ import annotations

import gzip
import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import cv2
import httpx
import models
import numpy as np
import pytest
from runtime.pool import Pool

from worker.gateway.document.openapi import ENDPOINT

from .service import Service, base64_of, failed


@pytest.fixture(scope="module")
def strict(pool: Pool) -> Iterator[Service]:
    """The same line by a service with small limits."""
    flags = {"limits__max_bytes": 100_000, "limits__max_pixels": 1_000_000, "gateway__timeout_s": 1.5}
    with Service(pool.settings.redis.url.get_secret_value(), **flags) as service:
        yield service


def picture(height: int, width: int, extension: str = ".png") -> bytes:
    return models.jpeg(np.zeros((height, width, 3), np.uint8), extension)


def noise(side: int) -> bytes:
    return models.jpeg(np.random.default_rng(0).integers(0, 255, (side, side, 3), dtype=np.uint8))


# 413


def test_too_many_bytes_or_pixels(strict: Service) -> None:

    assert "limits.max_bytes" in failed(strict.post(bytes(100_001)), 413)
    assert "1100×1000 pixels; limits.max_pixels" in failed(strict.post(picture(1000, 1100)), 413)


def test_a_body_that_is_too_large_is_not_read_to_its_end(strict: Service) -> None:
    body = json.dumps({"image": "A" * 300_000}).encode()
    message = failed(strict.http.post(ENDPOINT, content=body, headers={"Content-Type": "application/json"}), 413)
    assert "the request's body is larger than" in message

    def endless() -> Iterator[bytes]:
        for _ in range(300):
            yield b" " * 10_000

    response = strict.http.post(ENDPOINT, content=endless(), headers={"Content-Type": "application/json"})
    assert "transfer-encoding" in response.request.headers
    assert failed(response, 413) == message
    # And the connection is good for the next request
    assert strict.http.get("/health").status_code == 200


# 415


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", None])
@pytest.mark.parametrize("of_browser", ["Origin", "Sec-Fetch-Site"])
def test_a_page_of_another_origin_cannot_post(
    service: Service, pictures: list[bytes], kind: str | None, of_browser: str
) -> None:
    """A browser sends a body of these kinds, or of none, without asking the service first."""
    content = json.dumps({"image": base64_of(pictures[0])})
    headers = {of_browser: "https://elsewhere.example"} | ({} if kind is None else {"Content-Type": kind})
    assert "application/json" in failed(service.http.post(ENDPOINT, content=content, headers=headers), 415)


def test_a_packed_body(service: Service, pictures: list[bytes]) -> None:
    content = gzip.compress(json.dumps({"image": base64_of(pictures[0])}).encode())
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert "must not be packed" in failed(service.http.post(ENDPOINT, content=content, headers=headers), 415)


@pytest.mark.parametrize("data", [b"%PDF-1.7 ...", b"GIF89a......", b"II*\x00......", b"hello", bytes(40)])
def test_bytes_that_are_no_picture(service: Service, data: bytes) -> None:
    assert failed(service.post(data), 415).startswith("not_an_image: ")


def test_a_picture_of_a_kind_that_no_camera_uses(service: Service) -> None:
    data = bytearray(picture(20, 20, ".bmp"))
    data[30:34] = (5).to_bytes(4, "little")  # a packed one
    assert failed(service.post(bytes(data)), 415).startswith("unsupported: ")


# 422


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "the request's body: Invalid JSON"),
        (b"{", "the request's body: Invalid JSON"),
        (b"\xff\xfe", "the request's body: Invalid JSON"),
        (b"[" * 900, "recursion limit"),
        (b'{"image": 5, "a": [' + b"[]," * 2_000_000 + b"1]}", "more than 1,000 values"),
        (b'{"image": "x", ' + b'"a": 1, ' * 1_001 + b'"b": 2}', "more than 1,000 values"),
        (b'"text"', "should be an object"),
        (b"null", "should be an object"),
        (b"{}", "image: Field required"),
        (b'{"image": null}', "image: Input should be a valid string"),
        (b'{"image": ["a"]}', "image: Input should be a valid string"),
        (b'{"image": ""}', "image: is empty"),
        (b'{"image": "data:image/png;base64,"}', "image: is empty"),
        (b'{"image": "abc"}', "neither Base64 nor an http(s) URL"),
        (b'{"image": "a=bc"}', "neither Base64 nor an http(s) URL"),
        (b'{"image": "\\u00e4\\u00f6"}', "neither Base64 nor an http(s) URL"),
        (b'{"image": "AAAA!AAA"}', "neither Base64 nor an http(s) URL"),
        (b'{"image": "\\ud800"}', "Invalid JSON"),
        (b'{"image": "http://127.0.0.1/x.jpg"}', "gateway.urls.enabled"),
        (b'{"image": "HTTPS://127.0.0.1/x.jpg"}', "gateway.urls.enabled"),
        (b'{"image": "file:///etc/passwd"}', "file: is not fetched from"),
        (b'{"image": "ftp://host/x.jpg"}', "ftp: is not fetched from"),
        (b'{"image": "data:,hello"}', "neither Base64"),
    ],
)
def test_a_body_or_a_picture_that_cannot_be_read(service: Service, body: bytes, says: str) -> None:
    response = service.http.post(ENDPOINT, content=body, headers={"Content-Type": "application/json"})
    assert says in failed(response, 422)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"visualize": "yes"}, "visualize: Input should be a valid boolean"),
        ({"visualize": 2}, "visualize"),
        ({"camera": "a b"}, "camera: String should match"),
        ({"camera": "a\n"}, "camera: String should match"),
        ({"camera": ""}, "camera"),
        ({"camera": "x" * 65}, "camera"),
        ({"partId": "x" * 129}, "partId: String should have at most 128"),
        ({"partId": "a\u0000"}, "partId: Value error, only printable"),
        ({"deadlineMs": 0}, "deadlineMs: Input should be greater than"),
        ({"deadlineMs": 1.5}, "deadlineMs"),
        ({"deadlineMs": "1000"}, "deadlineMs"),
        ({"deadlineMs": True}, "deadlineMs"),
        ({"deadlineMs": 10**30}, "deadlineMs"),
        ({"labelMapSize": "big"}, "labelMapSize: Input should be 'model' or 'image'"),
        ({"labelMapEncoding": 1}, "labelMapEncoding: Input should be 'array', 'png' or 'rle'"),
        ({"logId": 7}, "logId"),
    ],
)
def test_a_field_that_is_wrong(service: Service, pictures: list[bytes], fields: dict[str, Any], says: str) -> None:
    assert says in failed(service.post(pictures[0], **fields), 422)


def test_a_failure_has_the_requests_log_id(service: Service, pictures: list[bytes]) -> None:
    for response in (
        service.post(pictures[0], logId="mine", camera="a b"),
        service.post(b"no picture", logId="mine"),
        service.post(picture(4, 4), logId="mine"),
    ):
        assert response.status_code in (415, 422)
        assert response.json()["logId"] == "mine"
    # But none that is no text
    assert failed(service.http.post(ENDPOINT, json={"logId": [1]}), 422)


def test_a_picture_that_ends_early_or_is_too_small(service: Service, pictures: list[bytes]) -> None:
    assert failed(service.post(pictures[0][:-200]), 422).startswith("truncated: ")
    assert failed(service.post(picture(4, 4)), 422).startswith("too_small: ")


def test_damage_that_only_the_decoder_sees_is_told_and_kept(service: Service, pool: Pool) -> None:
    data = bytearray(noise(200))
    data[len(data) // 2 : len(data) // 2 + 512] = bytes(512)
    message = failed(service.post(bytes(data), partId="damaged"), 422)
    assert message.startswith("damaged: ")
    (letter,) = [one for one in pool.letters() if one.reason == "damaged"]
    assert f"frame {letter.frame} is kept as a dead letter" in message


def test_a_picture_that_may_not_be_trusted_is_invalid_and_no_verdict(service: Service, pool: Pool) -> None:
    message = failed(service.post(picture(100, 100)), 422)
    assert message.startswith("INVALID: dark: ")
    assert any(one.frame in message for one in pool.results() if one.reason.startswith("dark"))


def test_an_array_that_would_fill_the_memory_is_not_written(service: Service, pictures: list[bytes]) -> None:
    huge = models.jpeg(cv2.resize(models.images(1)[0], (5000, 5000)))
    wanted = {"labelMapSize": "image", "visualize": False}
    assert "ask for png or rle" in failed(service.post(huge, **wanted), 422)
    response = service.post(huge, labelMapEncoding="rle", **wanted)
    assert response.json()["result"]["labelMap"]["size"] == [5000, 5000]


# 404, 405


def test_paths_and_methods_that_there_are_not(service: Service) -> None:
    assert ENDPOINT in failed(service.http.get("/nothing"), 404)
    assert failed(service.http.get("/docs"), 404)  # its page would load scripts from elsewhere
    for method, path, allowed in (("GET", ENDPOINT, "POST"), ("POST", "/health", "GET"), ("DELETE", "/ready", "GET")):
        response = service.http.request(method, path)
        assert failed(response, 405)
        assert response.headers["allow"] == allowed


# 408


def test_a_body_that_does_not_come(strict: Service) -> None:
    with socket.create_connection(("127.0.0.1", strict.port), timeout=10) as connection:
        head = f"POST {ENDPOINT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
        began = time.monotonic()
        connection.sendall(head.encode() + b'{"ima')
        answer = connection.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"gateway.timeout_s" in answer
    assert 1.4 < time.monotonic() - began < 15


def test_bytes_that_are_no_request_harm_nobody(service: Service) -> None:
    for nonsense in (b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"POST / HTTP/9\r\n\r\n", bytes(1000)):
        with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
            connection.sendall(nonsense)
            connection.recv(65_536)
    assert httpx.get(f"http://127.0.0.1:{service.port}/health").status_code == 200
