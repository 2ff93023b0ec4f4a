"""Clients of the HTTP service that cost next to nothing: requests made beforehand, one connection each, blocking."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle

ENDPOINT = "/image-anomaly-detection"


@dataclass(frozen=True, slots=True)
class Load:
    """Answers a second within the window, and the ms of each."""

    fps: float
    latencies_ms: list[float]


def request(picture: bytes, host: str) -> bytes:
    """What a client of PaddleX's service sends: the picture as Base64 in JSON, nothing else."""
    body = json.dumps({"image": base64.b64encode(picture).decode()}).encode()
    head = f"POST {ENDPOINT} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return f"{head}\r\n\r\n".encode() + body


def put_load(port: int, pictures: Sequence[bytes], clients: int, seconds: float, settle_s: float = 1.0) -> Load:
    """So many clients at once, each of which asks again as soon as it has its answer.

    Raises:
        RuntimeError: an answer was no success; what it said.
    """
    requests = [request(picture, f"127.0.0.1:{port}") for picture in pictures]
    begin = time.perf_counter() + settle_s
    each = [_Client(port, requests[number:] + requests[:number], begin, begin + seconds) for number in range(clients)]
    for one in each:
        one.start()
    for one in each:
        one.join()
    if failed := next((one.failure for one in each if one.failure), None):
        raise RuntimeError(failed)
    latencies = [ms for one in each for ms in one.latencies_ms]
    return Load(len(latencies) / seconds, latencies)


class _Client(threading.Thread):
    def __init__(self, port: int, requests: list[bytes], begin: float, end: float) -> None:
        super().__init__(daemon=True)
        self._port, self._requests, self._begin, self._end = port, requests, begin, end
        self.latencies_ms: list[float] = []
        self.failure = ""

    def run(self) -> None:
        try:
            with socket.create_connection(("127.0.0.1", self._port), timeout=60) as connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for asked in cycle(self._requests):
                    if not self._ask(connection, asked):
                        return
        except (OSError, RuntimeError) as error:
            self.failure = f"{type(error).__name__}: {error}"

    def _ask(self, connection: socket.socket, asked: bytes) -> bool:
        """One request; False where its answer came after the window."""
        sent = time.perf_counter()
        connection.sendall(asked)
        status, body = _answer(connection)
        now = time.perf_counter()
        if status != 200:
            raise RuntimeError(f"{status}: {body[:300]!r}")
        if now >= self._end:
            return False
        if now >= self._begin:
            self.latencies_ms.append((now - sent) * 1e3)
        return True


def _answer(connection: socket.socket) -> tuple[int, bytes]:
    received = b""
    while (split := received.find(b"\r\n\r\n")) < 0:
        received += _received(connection, 65_536)
    head, body = received[:split], [received[split + 4 :]]
    length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    missing = length - len(body[0])
    while missing > 0:
        body.append(_received(connection, 2**18))
        missing -= len(body[-1])
    return int(head[9:12]), b"".join(body)


def _received(connection: socket.socket, most: int) -> bytes:
    piece = connection.recv(most)
    if not piece:
        raise RuntimeError("the service closed the connection")
    return piece
