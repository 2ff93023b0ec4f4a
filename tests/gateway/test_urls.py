"""Requests that name their picture by its URL; `test_fetch` and its like try what the fetcher itself refuses."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from worker.gateway.urls.fetch import Fetcher

from .outside import OUTSIDE, Listener, http, permits_outside
from .service import HandWorker, Service, failed


@contextmanager
def fetching(redis_url: str, **flags: object) -> Iterator[Service]:
    """The service, to which the one address that stands for the world outside may be reached."""
    flags = {"gateway__urls__enabled": True, "gateway__urls__allow": OUTSIDE, **flags}
    with Service(redis_url, **flags) as service:
        urls, most_bytes = service.settings.gateway.urls, service.settings.limits.max_bytes
        service.server._service._pictures._fetcher = Fetcher(urls, most_bytes, permits=permits_outside)
        yield service


def test_a_picture_is_fetched_and_inspected(hand: HandWorker, redis_url: str, pictures: list[bytes]) -> None:
    host = Listener(OUTSIDE, answer=lambda _: [http(pictures[0])])
    with fetching(redis_url) as service:
        answer = service.post_soon(f"http://{OUTSIDE}:{host.port}/part.jpg")
        (frame,) = hand.take()
        assert frame.data == pictures[0]
        hand.finish(frame)
        assert answer.result().status_code == 200
    host.close()


def test_what_is_fetched_is_looked_at_as_any_picture(hand: HandWorker, redis_url: str) -> None:
    host = Listener(OUTSIDE, answer=lambda _: [http(b"<html>")])
    with fetching(redis_url) as service:
        assert failed(service.post(f"http://{OUTSIDE}:{host.port}/"), 415).startswith("not_an_image")
    host.close()


def _head_and_then_nothing(_request: bytes) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
    time.sleep(2)


def test_what_may_not_be_fetched_is_refused_with_its_status(hand: HandWorker, redis_url: str) -> None:
    host = Listener(OUTSIDE, answer=lambda _: [http(bytes(20_000))])
    slow = Listener(OUTSIDE, answer=_head_and_then_nothing)
    with fetching(redis_url, limits__max_bytes=10_000, gateway__urls__timeout_s=0.5) as service:
        assert "is not among the hosts" in failed(service.post("http://elsewhere.example/x.jpg"), 422)
        assert "cannot be fetched" in failed(service.post(f"http://{OUTSIDE}:1/x.jpg"), 422)
        assert "limits.max_bytes" in failed(service.post(f"http://{OUTSIDE}:{host.port}/"), 413)
        assert "gateway.urls.timeout_s" in failed(service.post(f"http://{OUTSIDE}:{slow.port}/"), 504)
        assert "by the request's deadline" in failed(
            service.post(f"http://{OUTSIDE}:{slow.port}/", deadlineMs=100), 504
        )
    assert hand.waiting() == 0
    host.close()
    slow.close()
