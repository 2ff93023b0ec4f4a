"""While a request waits: late and invalid verdicts, dead letters, a full line, too many requests, clients that go.

The worker's place is taken by the test, which decides when a frame ends and how.
"""

from __future__ import annotations

import json
import socket
import time

import httpx
import pytest
from line_settings import settings_for

from worker.gateway.document.openapi import ENDPOINT
from worker.stream.publish import FramePublisher
from worker.types import Frame, Verdict

from .service import SIZE, HandWorker, Service, base64_of, failed, wait_until


def test_a_frame_carries_what_its_request_said(hand: HandWorker, redis_url: str, pictures: list[bytes]) -> None:
    with Service(redis_url) as service:
        began = time.time_ns()
        answer = service.post_soon(pictures[0], camera="left", partId="p1", deadlineMs=20_000)
        (frame,) = hand.take()
        assert (frame.camera, frame.part_id, frame.deadline_ms, frame.data) == ("left", "p1", 20_000, pictures[0])
        assert began - 1e9 < frame.captured_at < time.time_ns()
        hand.finish(frame)
        assert answer.result().json()["result"]["size"] == list(SIZE)
        # Without a deadline of its own, or with a longer one, the service's counts
        for fields in ({}, {"deadlineMs": 86_400_000}):
            answer = service.post_soon(pictures[0], **fields)
            (frame,) = hand.take()
            assert frame.deadline_ms == 30_000
            hand.finish(frame)
            answer.result()


def test_late_and_invalid_are_failures_and_never_ok(hand: HandWorker, redis_url: str, pictures: list[bytes]) -> None:
    with Service(redis_url) as service:
        answers = [service.post_soon(pictures[0], partId=kind) for kind in ("late", "invalid", "not a number")]
        for frame in hand.take(3):
            if frame.part_id == "late":
                hand.finish(frame, Verdict.LATE, "5 ms past the deadline of 10 ms; would be OK")
            else:
                hand.finish(frame, Verdict.INVALID, "frozen: …" if frame.part_id == "invalid" else "score_not_finite")
        late, invalid, unknown = (answer.result() for answer in answers)
        assert failed(late, 504).startswith("LATE: 5 ms past the deadline of 10 ms; would be OK (frame ")
        assert failed(invalid, 422).startswith("INVALID: frozen: …")
        assert failed(unknown, 422).startswith("INVALID: score_not_finite")


STATUS_OF_REASON = {
    "too_large": 413,
    "not_an_image": 415,
    "unsupported": 415,
    "encoding_mismatch": 415,
    "truncated": 422,
    "damaged": 422,
    "too_small": 422,
    "bad_field": 422,
    "max_attempts": 503,
    "clock_skew": 503,
}


def test_a_dead_letter_is_a_failure_with_its_reason(hand: HandWorker, redis_url: str, pictures: list[bytes]) -> None:
    with Service(redis_url) as service:
        answers = {reason: service.post_soon(pictures[0], partId=reason) for reason in STATUS_OF_REASON}
        frames = {frame.part_id: frame for frame in hand.take(len(answers))}
        for reason, frame in frames.items():
            hand.bury(frame, reason, "why so")
        for reason, status in STATUS_OF_REASON.items():
            said = failed(answers[reason].result(), status)
            assert said == f"{reason}: why so (frame {frames[reason].id} is kept as a dead letter)"


def test_a_labelmap_that_another_program_wrote_is_read_all_the_same(
    hand: HandWorker, redis_url: str, pictures: list[bytes]
) -> None:
    import cv2
    import numpy as np

    with Service(redis_url) as service:
        answer = service.post_soon(pictures[0])
        (frame,) = hand.take()
        png = cv2.imencode(".png", np.zeros(SIZE, np.uint8), [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()
        hand.finish(frame, label_map=png)
        assert answer.result().json()["result"]["labelMap"] == [0] * SIZE[0] * SIZE[1]


def test_no_verdict_by_the_deadline(hand: HandWorker, redis_url: str, pictures: list[bytes]) -> None:
    with Service(redis_url, gateway__timeout_s=0.5) as service:
        began = time.monotonic()
        said = failed(service.post(pictures[0], deadlineMs=200), 504)
        assert time.monotonic() - began >= 0.2
        (frame,) = hand.take()
        assert f"within 200 ms: frame {frame.id} waits or is in work" in said
        assert "within 500 ms" in failed(service.post(pictures[0]), 504)
        # A verdict that comes later is for nobody, and harms nobody
        hand.finish(frame)
        (second,) = hand.take()
        hand.finish(second)
        wait_until(lambda: hand.replies_left() == 0, "an empty reply stream")
        answer = service.post_soon(pictures[0])
        (third,) = hand.take()
        hand.finish(third)
        assert answer.result().status_code == 200


def test_a_client_that_goes_away_costs_its_frame_no_verdict(
    hand: HandWorker, redis_url: str, pictures: list[bytes]
) -> None:
    with Service(redis_url) as service:
        body = json.dumps({"image": base64_of(pictures[0])}).encode()
        head = f"POST {ENDPOINT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        with socket.create_connection(("127.0.0.1", service.port)) as connection:
            connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            (frame,) = hand.take()
        with socket.create_connection(("127.0.0.1", service.port)) as connection:
            connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:100])
        assert service.metric("line_gateway_waiting") >= 1
        hand.finish(frame)
        wait_until(lambda: service.metric("line_gateway_waiting") == 0, "nobody who waits")
        assert hand.books().verdicts["OK"] == 1
        wait_until(lambda: hand.replies_left() == 0, "an empty reply stream")
        assert hand.waiting() == 0


def test_too_many_requests_that_wait(hand: HandWorker, redis_url: str, pictures: list[bytes]) -> None:
    with Service(redis_url, gateway__max_waiting=2) as service:
        answers = [service.post_soon(pictures[0]) for _ in range(2)]
        frames = hand.take(2)
        response = service.post(pictures[0])
        assert "2 requests are waiting already" in failed(response, 429)
        assert response.headers["retry-after"] == "1"
        for frame in frames:
            hand.finish(frame)
        assert [answer.result().status_code for answer in answers] == [200, 200]
        answer = service.post_soon(pictures[0])
        hand.finish(*hand.take())
        assert answer.result().status_code == 200


def test_requests_that_hold_too_many_bytes(hand: HandWorker, redis_url: str) -> None:
    picture = b"\xff\xd8\xff" + bytes(70_000)
    with Service(redis_url, queue__max_bytes=2**17, gateway__timeout_s=3) as service:
        body = json.dumps({"image": base64_of(picture)})
        head = f"POST {ENDPOINT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        with socket.create_connection(("127.0.0.1", service.port)) as connection:
            connection.sendall(f"{head}\r\n\r\n{body[:-1]}".encode())  # all but its end
            refused = wait_until(lambda: _if_429(service.post(picture)), "the first one to be nearly in")
            assert "(queue.max_bytes)" in failed(refused, 429)
        wait_until(lambda: service.metric("line_gateway_waiting") == 0, "the first one to be gone")
        assert failed(service.post(picture), 415)  # it is no real picture; but there was room for it
        assert "leaves 131,072" in failed(service.post(bytes(140_000)), 413)


def _if_429(response: httpx.Response) -> httpx.Response | None:
    return response if response.status_code == 429 else None


@pytest.mark.parametrize("policy", ["block", "drop-newest"])
def test_a_line_that_is_full(hand: HandWorker, redis_url: str, pictures: list[bytes], policy: str) -> None:
    flags = {"queue__policy": policy, "queue__max_frames": 2, "gateway__queue_wait_s": 0.3}
    publisher = FramePublisher(settings_for(redis_url))
    for _ in range(2):
        publisher.publish(Frame("cam", pictures[0]))
    with Service(redis_url, **flags) as service:
        began = time.monotonic()
        answers = [service.post_soon(pictures[0]) for _ in range(3)]
        for answer in answers:
            response = answer.result()
            assert "the line is full" in failed(response, 429)
        assert policy != "block" or time.monotonic() - began >= 0.3
        assert time.monotonic() - began < 10  # and not the 30 s that a verdict may take
        dropped = hand.books().dropped
        assert dropped == {"block-timeout" if policy == "block" else policy: 3}
        # When there is room again, requests have theirs
        for frame in hand.take(2):
            hand.finish(frame)
        answer = service.post_soon(pictures[0])
        hand.finish(*hand.take())
        assert answer.result().status_code == 200
        assert hand.books().difference == 0
    publisher.close()


def test_a_line_that_is_full_for_a_moment_costs_nothing(
    hand: HandWorker, redis_url: str, pictures: list[bytes]
) -> None:
    publisher = FramePublisher(settings_for(redis_url))
    publisher.publish(Frame("cam", pictures[0]))
    with Service(redis_url, queue__max_frames=1, gateway__queue_wait_s=5.0) as service:
        answers = [service.post_soon(pictures[0]) for _ in range(4)]
        for _ in range(5):
            hand.finish(*hand.take())
        assert [answer.result().status_code for answer in answers] == [200] * 4
    publisher.close()


def test_clients_that_ask_too_often(hand: HandWorker, redis_url: str) -> None:
    with Service(redis_url, gateway__rate_per_s=0.5, gateway__rate_burst=2) as service:
        statuses = [service.post(b"no picture").status_code for _ in range(3)]
        assert statuses == [415, 415, 429]
        response = service.post(b"no picture")
        assert "gateway.rate_per_s" in failed(response, 429)
        assert 1 <= int(response.headers["retry-after"]) <= 2
        # Probes are not counted
        assert [service.http.get(path).status_code for path in ("/health", "/ready", "/metrics")] == [200] * 3


def test_replies_that_expire_or_come_from_a_stranger_harm_nobody(
    hand: HandWorker, redis_url: str, pictures: list[bytes]
) -> None:
    with Service(redis_url, gateway__timeout_s=5) as service:
        answer = service.post_soon(pictures[0])
        (frame,) = hand.take()
        key = hand.keys.reply(frame.reply_to)
        hand.client.execute_command("XADD", key, "*", "frame", frame.id, "something", "else")
        hand.client.execute_command("XADD", key, "*", "frame", "1-1", "reason", "damaged", "error", "not yours")
        time.sleep(0.1)
        assert not answer.done()
        hand.client.execute_command("DEL", key)
        hand.finish(frame)
        assert answer.result().status_code == 200


def test_a_connection_is_kept_through_failures(hand: HandWorker, redis_url: str) -> None:
    with Service(redis_url) as service, httpx.Client(base_url=service.http.base_url) as client:
        for _ in range(3):
            assert client.post(ENDPOINT, json={"image": "?"}).status_code == 422
            assert client.post(ENDPOINT, content=b"x", headers={"Content-Encoding": "gzip"}).status_code == 415
        (connection,) = client._transport._pool.connections  # type: ignore[attr-defined]
        assert "Request Count: 6" in connection.info()
