"""Connections that go to addresses which were checked, and nowhere else: no name is resolved a second time."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address

import httpcore

from worker.gateway.urls.addresses import Address, Permits, is_private

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

_RESOLVER_THREADS = 8
MAX_TRIED = 4
"""Addresses of a name that are tried before it counts as closed."""


class SystemResolver:
    """Asks the system, as `getaddrinfo` does; in threads of its own, so that slow names hold up nothing else."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_RESOLVER_THREADS, thread_name_prefix="resolver")

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """The addresses of a name.

        Raises:
            OSError: there are none.
        """
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
        return [str(address[0]) for *_, address in found]

    def close(self) -> None:
        """Take no more names; those that are being asked for are not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class PinnedBackend(httpcore.AsyncNetworkBackend):
    """Connects to one of these addresses, whatever host it is asked for; for one connection.

    TLS is not its business: httpcore verifies the certificate against the name in the URL.

    Args:
        permits: asked once more, of who has answered.
        patience_s: for an address while there is another to try: IPv6 that leads nowhere must not take all the time.
    """

    def __init__(self, addresses: Sequence[Address], permits: Permits, patience_s: float) -> None:
        self._addresses = list(dict.fromkeys(addresses))[:MAX_TRIED]
        self._permits = permits
        self._patience_s = patience_s
        self._backend = httpcore.AnyIOBackend()
        self._stream: httpcore.AsyncNetworkStream | None = None

    async def connect_tcp(
        self,
        host: str,  # noqa: ARG002 - httpcore's interface
        port: int,
        timeout: float | None = None,  # noqa: ARG002
        local_address: str | None = None,  # noqa: ARG002
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,  # noqa: ARG002
    ) -> httpcore.AsyncNetworkStream:
        """The first address that answers, in the resolver's order.

        Raises:
            httpcore.ConnectError: none does, or who does is not who was asked for.
        """
        for address in self._addresses[:-1]:
            try:
                async with asyncio.timeout(self._patience_s):
                    return await self._connect(address, port)
            except (httpcore.ConnectError, TimeoutError):
                continue
        return await self._connect(self._addresses[-1], port)

    async def aclose(self) -> None:
        """Close what was opened: a cancelled TLS handshake leaves its connection to whoever opened it."""
        if self._stream is not None:
            await self._stream.aclose()

    async def _connect(self, address: Address, port: int) -> httpcore.AsyncNetworkStream:
        stream = await self._backend.connect_tcp(str(address), port)
        try:
            self._check(stream, address)
        except BaseException:
            await stream.aclose()
            raise
        self._stream = stream
        return stream

    def _check(self, stream: httpcore.AsyncNetworkStream, address: Address) -> None:
        """Nothing is sent to another address than the one that was checked, nor to a public address of this machine.

        Whoever connects to an address of its own has that address on both ends. No list knows it, and services that
        are meant for this machine often listen there too. A private one is like its neighbours: allowed or not.
        """
        peer, own = (ip_address(stream.get_extra_info(end)[0]) for end in ("server_addr", "client_addr"))
        if peer != address or not self._permits(peer) or (peer == own and not is_private(peer)):
            raise httpcore.ConnectError("another address answers than the one that was checked, or our own")
