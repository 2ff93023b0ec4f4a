"""Connections that want more than a request: endless heads, answers that nobody reads, too many, other protocols."""

from __future__ import annotations

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import models
import numpy as np
import pytest

from worker.gateway import connection
from worker.gateway.connection import Connection
from worker.gateway.document.openapi import ENDPOINT

from .service import HandWorker, Service, base64_of, wait_until


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_WITHIN_S", 0.5)
    monkeypatch.setattr(connection, "READ_WITHIN_S", 0.5)
    monkeypatch.setattr(connection, "_LOOK_EVERY_S", 0.1)


def connected(service: Service, **options: int) -> socket.socket:
    opened = socket.socket()
    for name, value in options.items():
        opened.setsockopt(socket.SOL_SOCKET, getattr(socket, name), value)
    opened.settimeout(10)
    opened.connect(("127.0.0.1", service.port))
    return opened


def is_closed(client: socket.socket) -> bool:
    """Whether the other end lets go of it within a few seconds."""
    client.settimeout(5)
    with suppress(ConnectionError):
        return client.recv(1) == b""
    return True


@pytest.mark.parametrize("sent", [b"", b"POST / HTTP/1.1\r\nHost: x\r\nX-A: "])
def test_a_head_that_does_not_end_is_not_waited_for(
    impatient: None, hand: HandWorker, redis_url: str, sent: bytes
) -> None:
    with Service(redis_url) as service, connected(service) as client:
        began = time.monotonic()
        client.sendall(sent)
        assert is_closed(client)
        assert time.monotonic() - began < 4
        assert service.http.get("/health").status_code == 200


def test_a_slow_body_and_an_idle_connection_are_no_unfinished_head(
    impatient: None, hand: HandWorker, redis_url: str, pictures: list[bytes]
) -> None:
    body = json.dumps({"image": base64_of(pictures[0])}).encode()
    head = f"POST {ENDPOINT} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with Service(redis_url) as service, connected(service) as client:
        client.sendall(head + body[:100])
        time.sleep(1.2)
        client.sendall(body[100:])
        hand.finish(*hand.take())
        assert client.recv(65_536).startswith(b"HTTP/1.1 200")
        time.sleep(1.2)  # idle, as clients keep a connection
        client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert wait_until(lambda: b"Healthy" in client.recv(65_536), "the answer on the same connection")


def test_a_head_without_end_is_not_kept(hand: HandWorker, redis_url: str) -> None:
    with Service(redis_url) as service, connected(service) as client:
        client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nX-A: ")
        with pytest.raises(OSError):  # noqa: PT012 - which of them meets the closed connection is a matter of time
            for _ in range(200):
                client.sendall(b"a" * 2**20)
            raise AssertionError("200 MB of a header were taken")


def test_an_answer_that_is_not_read_is_given_up_and_held_to_account_until_then(
    impatient: None, hand: HandWorker, redis_url: str
) -> None:
    picture = models.jpeg(np.full((2_000, 2_000, 3), 90, np.uint8))
    body = json.dumps({"image": base64_of(picture), "labelMapSize": "image"}).encode()
    head = f"POST {ENDPOINT} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with Service(redis_url) as service, connected(service, SO_RCVBUF=4_096) as client:
        room = service.server._service.inspection._room
        client.sendall(head + body)
        hand.finish(*hand.take(), image_size=(2_000, 2_000))
        wait_until(lambda: room._bytes > 4_000_000, "the answer is held")
        assert service.metric("line_gateway_waiting") == 0
        wait_until(lambda: room._bytes == 0, "it is given up")
        assert service.http.get("/health").status_code == 200


def test_an_upgrade_that_is_not_served_is_answered_as_it_came(
    hand: HandWorker, redis_url: str, pictures: list[bytes]
) -> None:
    """Java's client and `curl --http2` offer HTTP/2 with the first request; a server may go on without it."""
    upgrade = {
        "Connection": "Upgrade, HTTP2-Settings",
        "Upgrade": "h2c",
        "HTTP2-Settings": "AAEAAEAAAAIAAAABAAMAAABkAAQBAAAA",
    }
    with Service(redis_url) as service, ThreadPoolExecutor(1) as pool:
        asked = {"image": base64_of(pictures[0])}
        answer = pool.submit(service.http.post, ENDPOINT, json=asked, headers=upgrade)
        hand.finish(*hand.take())
        assert answer.result().json()["errorCode"] == 0


def test_more_connections_than_there_may_be_are_refused_and_the_others_served(
    hand: HandWorker, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Connection, "_most", 5)
    with Service(redis_url) as service, ExitStack() as stack:
        assert service.http.get("/health").status_code == 200
        held = [stack.enter_context(connected(service)) for _ in range(8)]
        assert sum(map(is_closed_now, held)) >= 4
        assert service.http.get("/health").status_code == 200, "on the connection that was there before"
        for client in held:
            client.close()
        wait_until(lambda: service.http.get("/ready").status_code == 200, "there is room again")


def is_closed_now(client: socket.socket) -> bool:
    client.settimeout(0.5)
    try:
        return client.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True
