"""The world around a fetcher: a host that may be fetched from, services within that may not, and who connects to what.

Everything is on this machine: 127.0.0.2 is the world outside, which the tests allow in addition to the real rule;
the services within are at 127.0.0.1, ::1 and every other address of this machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from ipaddress import ip_address

import httpx

from worker.gateway.urls.addresses import Address, may_be_reached
from worker.gateway.urls.fetch import Fetcher
from worker.settings.gateway import UrlSettings

OUTSIDE = "127.0.0.2"
PICTURE = b"\x89PNG and so on"
Answer = Callable[[bytes], Iterable[bytes]]


def http(body: bytes = PICTURE, status: str = "200 OK", **headers: str) -> bytes:
    """An answer as it goes over the wire; a header's name has _ for -."""
    named = {"Content-Length": str(len(body))} | {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in named.items() if value)
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body


class Listener:
    """A TCP server that counts who connects and keeps what they send; `answer` makes pieces of a request's head."""

    def __init__(self, address: str, port: int = 0, answer: Answer | None = None) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._socket = socket.socket(family)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        self._socket.bind((address, port))
        self._socket.listen(64)
        self.port = int(self._socket.getsockname()[1])
        self.answer: Answer = answer or (lambda _: [http()])
        self.tls: ssl.SSLContext | None = None
        self.connections = 0
        self.received: list[bytes] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes accept
        self._socket.close()
        self._accepting.join()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(5)
        with contextlib.suppress(OSError), connection:
            if self.tls is not None:
                connection = self.tls.wrap_socket(connection, server_side=True)
            with connection:
                head = b""
                while b"\r\n\r\n" not in head and b"\x16\x03" not in head and (piece := connection.recv(65_536)):
                    head += piece
                self.received.append(head)
                for piece in self.answer(head):
                    connection.sendall(piece)


class Inside:
    """A service on every address of this machine, which nobody may get to, and every attempt to connect anywhere."""

    def __init__(self, tried: list[tuple[str, int]]) -> None:
        self._listeners = [Listener("0.0.0.0")]
        self.port = self._listeners[0].port
        with contextlib.suppress(OSError):  # no IPv6 here
            self._listeners.append(Listener("::", self.port))
        self.tried = tried

    @property
    def connections(self) -> int:
        return sum(one.connections for one in self._listeners)

    @property
    def received(self) -> list[bytes]:
        return [head for one in self._listeners for head in one.received if head]

    def close(self) -> None:
        for one in self._listeners:
            one.close()


_attempts: list[list[tuple[str, int]]] = []


def _note(event: str, arguments: tuple[object, ...]) -> None:
    if event == "socket.connect" and _attempts and isinstance(arguments[1], tuple):
        _attempts[-1].append(arguments[1][:2])


sys.addaudithook(_note)  # Python itself tells of each connection that is tried, also of those that come to nothing


@contextlib.contextmanager
def attempts() -> Iterator[list[tuple[str, int]]]:
    """The addresses and ports that this process tries to connect to."""
    _attempts.append([])
    try:
        yield _attempts[-1]
    finally:
        _attempts.pop()


def permits_outside(address: Address) -> bool:
    """The real rule, and the one address that stands for the world outside."""
    return may_be_reached(address, allow_private=False) or address == ip_address(OUTSIDE)


class Names:
    """A resolver with these names, which counts how often it is asked; several lists: one an answer, in turn."""

    def __init__(self, **names: Sequence[str] | list[list[str]]) -> None:
        self._names = {name.replace("_", "."): addresses for name, addresses in names.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        try:
            addresses = self._names[host]
        except KeyError:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known") from None
        if addresses and isinstance(addresses[0], list):
            return addresses[min(self.asked.count(host), len(addresses)) - 1]
        return [str(address) for address in addresses]


@functools.cache
def _default_trust() -> ssl.SSLContext:
    """What a fetcher takes by itself, read once."""
    return httpx.create_ssl_context()


def fetcher(max_bytes: int = 10_000, *, real_rule: bool = False, **options: object) -> Fetcher:
    """A fetcher of cdn.example at OUTSIDE; options of it and of its settings by their names."""
    given = {name: options.pop(name) for name in ("resolve", "permits", "tls") if name in options}
    given = {"resolve": Names(cdn_example=[OUTSIDE]), "tls": _default_trust()} | given
    if not real_rule:
        given = {"permits": permits_outside} | given
    settings = UrlSettings(**({"enabled": True, "allow": "*"} | options))
    return Fetcher(settings, max_bytes, **given)


def fetch(url: str, **options: object) -> bytes:
    """One picture, fetched by a fetcher of its own."""
    return asyncio.run(fetch_with(functools.partial(fetcher, **options), url))


async def fetch_with(make: Callable[[], Fetcher], *urls: str) -> bytes:
    """The last of these pictures."""
    one = make()
    try:
        for url in urls[:-1]:
            await one.fetch(url)
        return await one.fetch(urls[-1])
    finally:
        await one.aclose()
