"""Pictures that a request names by URL, fetched without becoming a way into the plant's network.

A URL is read strictly (`picture_url`), its host must be on the list (`hosts`), its name is resolved once and every
address of it must be one that may be reached (`addresses`), and the connection goes to such an address (`pinned`).
Redirects are followed by hand, each like a new URL. There are no proxies, cookies, credentials, kept connections,
and nothing is unpacked.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import aclosing
from functools import partial
from ipaddress import ip_address

import httpcore
import httpx
import structlog

from worker.errors import UrlRefused
from worker.gateway.urls.addresses import Address, Permits, may_be_reached
from worker.gateway.urls.hosts import AllowedHosts
from worker.gateway.urls.picture_url import PictureUrl
from worker.gateway.urls.pinned import MAX_TRIED, PinnedBackend, Resolve, SystemResolver
from worker.settings.gateway import UrlSettings

log = structlog.get_logger()

_OK = 200
_MAX_REASON = 300
_REDIRECTS = {301, 302, 303, 307, 308}
# Compressed bodies are refused instead of bounded: no picture gains by it.
_HEADERS = [
    (b"User-Agent", b"line-worker"),
    (b"Accept", b"image/*, */*;q=0.1"),
    (b"Accept-Encoding", b"identity"),
    (b"Connection", b"close"),
]
_FAILURES = (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, OSError, ValueError)


class _Unreached(Exception):
    """For the log alone: what may not be reached, is closed or is no web server are one and the same to a client."""


class Fetcher:
    """Fetches pictures within the limits of the settings; any number at once.

    Args:
        max_bytes: of a picture.
        resolve: host and port to addresses; default: the system's resolver.
        permits: which addresses may be connected to; default: `may_be_reached`. Tests, which have loopback only, pass
            the rule with one address more; no setting leads here.
        tls: whom to trust; default: the authorities of `certifi`, or those that SSL_CERT_FILE or SSL_CERT_DIR name.

    Raises:
        SettingsError: an entry of `allow` is no host.
    """

    def __init__(
        self,
        settings: UrlSettings,
        max_bytes: int,
        *,
        resolve: Resolve | None = None,
        permits: Permits | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._settings = settings
        self._max_bytes = max_bytes
        self._hosts = AllowedHosts(settings.hosts)
        self._system = SystemResolver()
        self._resolve = resolve or self._system
        self._permits = permits or partial(may_be_reached, allow_private=settings.allow_private)
        self._tls = tls or httpx.create_ssl_context()

    async def fetch(self, url: str) -> bytes:
        """The body at the URL; whether it is a picture is for its decoder to say.

        What is said to the client names no other host than its own, and is the same for a name that there is not, an
        address that may not be reached, a closed port and a server of another kind; the log tells them apart. Who
        never answers at all, on a host that is allowed, is told from them by the 504.

        Raises:
            UrlRefused: 422 the URL, its host, an address, a redirect or the answer is not accepted, or nobody answers;
                413 the body is larger than `max_bytes`; 504 it took longer than `timeout_s`, all in all.
        """
        if not self._settings.enabled:
            raise UrlRefused(422, "pictures by URL are not taken here (gateway.urls.enabled): send the picture itself")
        first = PictureUrl.parse(url)
        if first not in self._hosts:
            raise UrlRefused(422, f"{first.host} is not among the hosts that pictures are fetched from")
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                return await self._follow(first)
        except TimeoutError:
            limit = f"{self._settings.timeout_s:g} s (gateway.urls.timeout_s)"
            raise UrlRefused(504, f"the picture did not come from {first.host} within {limit}") from None
        except _Unreached as error:
            log.info("a picture is not fetched", host=first.host, reason=str(error)[:_MAX_REASON])
            raise UrlRefused(
                422,
                f"the picture cannot be fetched from {first.host}: there is no such host, it may not be fetched from, "
                "or no web server answers there",
            ) from None

    async def aclose(self) -> None:
        """Fetch no more."""
        self._system.close()

    async def _follow(self, url: PictureUrl) -> bytes:
        for _ in range(self._settings.max_redirects + 1):
            answer = await self._get(url)
            if isinstance(answer, bytes):
                return answer
            url = answer
        raise UrlRefused(422, f"the picture's host redirects more than {self._settings.max_redirects} times")

    async def _get(self, url: PictureUrl) -> bytes | PictureUrl:
        """The body, or where it is instead."""
        patience_s = self._settings.timeout_s / MAX_TRIED
        pinned = PinnedBackend(await self._addresses(url), self._permits, patience_s)
        origin = httpcore.Origin(url.scheme.encode(), url.host.encode(), url.port)
        request = httpcore.Request(
            "GET",
            httpcore.URL(scheme=url.scheme, host=url.host, port=url.port, target=url.target),
            headers=[(b"Host", url.host_header.encode()), *_HEADERS],
        )
        # A connection for this request alone: a kept one would outlive its check.
        connection = httpcore.AsyncHTTPConnection(origin, ssl_context=self._tls, network_backend=pinned)
        async with aclosing(pinned):
            try:
                response = await connection.handle_async_request(request)
            except _FAILURES as error:
                raise _Unreached(f"{url.host_header}: {error or type(error).__name__}") from error
            async with aclosing(response):
                return await self._answer(url, response)

    async def _addresses(self, url: PictureUrl) -> list[Address]:
        """All addresses of the host, each of which may be reached: one that may not speaks against the whole name."""
        try:
            if url.address is not None:
                addresses = [url.address]
            else:
                addresses = [ip_address(one) for one in await self._resolve(url.host, url.port)]
        except (OSError, ValueError) as error:  # ValueError: a name that cannot be asked for
            raise _Unreached(f"{url.host}: {error}") from error
        if not addresses:
            raise _Unreached(f"{url.host}: the name has no address")
        if refused := [str(address) for address in addresses if not self._permits(address)]:
            raise _Unreached(f"{url.host}: {', '.join(refused)} may not be reached")
        return addresses

    async def _answer(self, url: PictureUrl, response: httpcore.Response) -> bytes | PictureUrl:
        headers = {name.lower(): value.decode("utf-8", "surrogateescape") for name, value in response.headers}
        if response.status in _REDIRECTS and b"location" in headers:
            return self._redirected(url, headers[b"location"])
        if response.status != _OK:
            raise UrlRefused(422, f"the picture's host answers {response.status}")
        if headers.get(b"content-encoding", "identity").lower() != "identity":
            raise UrlRefused(422, "the picture's host answers with a compressed body, which was not asked for")
        if int(headers.get(b"content-length", 0)) > self._max_bytes:
            raise self._too_large()
        return await self._body(response)

    def _redirected(self, url: PictureUrl, location: str) -> PictureUrl:
        try:
            there = url.redirected(location)
        except UrlRefused as error:
            reason = str(error)
        else:
            if there in self._hosts:
                return there
            reason = f"{there.host} is not allowed"
        # Not to the client, whom it does not concern what names an inner server knows.
        log.info("a picture is not fetched: redirected to where it may not be", host=url.host, reason=reason)
        raise UrlRefused(422, "the picture's host redirects to where pictures are not fetched from")

    async def _body(self, response: httpcore.Response) -> bytes:
        pieces, size = [], 0
        try:
            async for piece in response.aiter_stream():
                size += len(piece)
                if size > self._max_bytes:
                    raise self._too_large()
                pieces.append(piece)
        except _FAILURES as error:
            raise UrlRefused(422, "the picture's host broke off amid the picture") from error
        return b"".join(pieces)

    def _too_large(self) -> UrlRefused:
        return UrlRefused(413, f"the picture is larger than {self._max_bytes:,} bytes (limits.max_bytes)")
