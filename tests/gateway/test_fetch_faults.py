"""Hosts that are slow, broken or hostile: the time is kept, nothing but a refusal comes, and nothing stays open."""

from __future__ import annotations

import asyncio
import random
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from worker.errors import UrlRefused
from worker.gateway.urls.fetch import Fetcher

from .outside import OUTSIDE, PICTURE, Listener, Names, fetch, fetcher, http

LIMIT_S = 0.4


@pytest.fixture
def server() -> Iterator[Listener]:
    server = Listener(OUTSIDE)
    yield server
    server.close()


def slowly(data: bytes, each_s: float = 0.05) -> Callable[[bytes], Iterable[bytes]]:
    def answer(_head: bytes) -> Iterable[bytes]:
        for byte in data:
            yield bytes([byte])
            time.sleep(each_s)

    return answer


def too_slow(url: str, **options: object) -> None:
    began = time.monotonic()
    with pytest.raises(UrlRefused) as caught:
        fetch(url, timeout_s=LIMIT_S, **options)
    assert caught.value.status == 504
    assert str(caught.value) == "the picture did not come from cdn.example within 0.4 s (gateway.urls.timeout_s)"
    assert LIMIT_S <= time.monotonic() - began < LIMIT_S + 1.5


@pytest.mark.parametrize(
    "answer",
    [
        slowly(http(b"x" * 500)),
        lambda head: [http(b"x" * 9000)[:-8900], *slowly(b"x" * 100)(head)],
        lambda head: [b"HTTP/1.1 200 OK\r\n", *slowly(b"X: y\r\n" * 100)(head)],
        lambda _: (time.sleep(0.01) or b"HTTP/1.1 102 Processing\r\n\r\n" for _ in range(200)),
        lambda _: time.sleep(2) or [],
    ],
    ids=["all", "body", "headers", "100 Continue and on", "nothing"],
)
def test_an_answer_that_drips_is_given_up_in_time(answer: object, server: Listener) -> None:
    server.answer = answer
    too_slow(f"http://cdn.example:{server.port}/")


def test_a_handshake_that_never_ends_is_given_up_in_time(server: Listener) -> None:
    server.answer = lambda _: time.sleep(2) or []
    too_slow(f"https://cdn.example:{server.port}/")


def test_redirects_share_the_time_of_one_picture(server: Listener) -> None:
    server.answer = lambda _: time.sleep(0.15) or [http(b"", "302 Found", Location="/on")]
    too_slow(f"http://cdn.example:{server.port}/", max_redirects=10)
    assert 1 < server.connections <= 3


def test_a_name_that_is_resolved_slowly_counts_too() -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        await asyncio.sleep(5)
        return [OUTSIDE]

    too_slow("http://cdn.example/", resolve=resolve)


@pytest.fixture
def deaf() -> Iterator[Callable[[int], None]]:
    """`deaf(port)`: at this port of 127.0.0.3 is a server whose queue is full, so that connecting takes for ever."""
    held: list[socket.socket] = []

    def listen(port: int) -> None:
        held.append(socket.socket())
        held[0].bind(("127.0.0.3", port))
        held[0].listen(0)
        for _ in range(3):
            held.append(socket.socket())
            held[-1].setblocking(False)
            held[-1].connect_ex(("127.0.0.3", port))

    yield listen
    for one in held:
        one.close()


def test_a_connection_that_is_not_answered_is_given_up_in_time(server: Listener, deaf: Callable[[int], None]) -> None:
    deaf(server.port)
    too_slow(f"http://cdn.example:{server.port}/", resolve=Names(cdn_example=["127.0.0.3"]), permits=lambda _: True)


def test_it_leaves_time_for_another_address_of_the_name(server: Listener, deaf: Callable[[int], None]) -> None:
    deaf(server.port)
    names = Names(cdn_example=["127.0.0.3", OUTSIDE])
    url = f"http://cdn.example:{server.port}/"
    assert fetch(url, timeout_s=2, resolve=names, permits=lambda _: True) == PICTURE


BROKEN = {
    "cut short": http(b"x" * 100)[:-1],
    "cut in a chunk": http(b"", Content_Length="", Transfer_Encoding="chunked") + b"ff\r\nxx",
    "no chunk": http(b"", Content_Length="", Transfer_Encoding="chunked") + b"zz\r\nxx\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    "negative length": http(Content_Length="-1"),
    "length of many digits": http(Content_Length="1" * 5000),
    "unknown coding": http(Content_Length="", Transfer_Encoding="gzip, chunked"),
    "headers without end": b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000,
    "other protocol": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    "HTTP/2": b"HTTP/2 200\r\n\r\n",
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "location no text": b"HTTP/1.1 302 Found\r\nLocation: http://cdn.example/\xff\xfe\r\nContent-Length: 0\r\n\r\n",
    "location no URL": b"HTTP/1.1 302 Found\r\nLocation: http://[::1/\r\nContent-Length: 0\r\n\r\n",
    "location in brackets": b"HTTP/1.1 302 Found\r\nLocation: //[x]/\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN)
def test_a_broken_answer_is_refused(answer: bytes, server: Listener) -> None:
    server.answer = lambda _: [answer]
    with pytest.raises(UrlRefused) as caught:
        fetch(f"http://cdn.example:{server.port}/")
    assert caught.value.status == 422


def test_damaged_answers_come_to_a_body_or_a_refusal(server: Listener) -> None:
    chance = random.Random(7)
    whole = http(b"", Content_Length="", Transfer_Encoding="chunked") + b"4\r\nabcd\r\n0\r\n\r\n"

    def damaged(_head: bytes) -> list[bytes]:
        data = bytearray(whole)
        for _ in range(chance.randint(1, 6)):
            data[chance.randrange(len(data))] = chance.choice(b"\0\r\n :0f\xff")
        return [bytes(data[: chance.randint(0, len(data))])]

    async def all_of_them() -> int:
        one, refused = fetcher(timeout_s=1), 0
        for _ in range(150):
            try:
                await one.fetch(f"http://cdn.example:{server.port}/")
            except UrlRefused:
                refused += 1
        await one.aclose()
        return refused

    server.answer = damaged
    assert asyncio.run(all_of_them()) > 50


def open_connections_to(port: int) -> int:
    """Sockets of clients to this port of OUTSIDE that somebody still holds; what the kernel ends by itself has none."""
    columns = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(one[2] == f"0200007F:{port:04X}" and one[9] != "0" for one in columns)


async def ends(one: Fetcher, url: str, _server: Listener) -> None:
    with pytest.raises(UrlRefused):
        await one.fetch(url)


async def is_left(one: Fetcher, url: str, server: Listener) -> None:
    """The client has gone: its request is cancelled while the host is slow."""
    before = server.connections
    task = asyncio.create_task(one.fetch(url))
    while server.connections == before:
        await asyncio.sleep(0.002)
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    ("scheme", "answer", "end"),
    [
        ("http", lambda _: [http(b"x" * 2_000_000)], ends),
        ("http", lambda _: [http(b"", Content_Length=""), b"x" * 2_000_000], ends),
        ("http", slowly(http()), ends),
        ("https", slowly(b"\x16\x03"), ends),
        ("http", slowly(http()), is_left),
        ("https", slowly(b"\x16\x03"), is_left),
    ],
    ids=["too large", "too large amid", "too slow", "slow handshake", "client gone", "client gone in handshake"],
)
def test_nothing_stays_open(scheme: str, answer: object, end: Callable[..., object], server: Listener) -> None:
    server.answer = answer

    async def many() -> int:
        one = fetcher(timeout_s=0.1 if end is ends else 5)
        for _ in range(5):
            await end(one, f"{scheme}://cdn.example:{server.port}/", server)
        await asyncio.sleep(0)  # asyncio closes on its next turn
        await one.aclose()
        return open_connections_to(server.port)

    assert asyncio.run(many()) == 0
    assert server.connections > 0
