"""From the field `image` of a request to the bytes of a picture that is worth a place on the line."""

from __future__ import annotations

import asyncio
import binascii
import re

from worker.errors import ImageError, UrlRefused
from worker.gateway.failures import Failure, of_frame_error
from worker.gateway.urls.fetch import Fetcher
from worker.inference.decode import checked_header
from worker.inference.headers import Header
from worker.settings import Settings
from worker.types import Encoding

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,31}):")
_DATA_URL = re.compile(r"data:[^,]{0,200};base64,", re.IGNORECASE)
_BREAKS = re.compile(r"[ \t\r\n]")
_SHOWN = 40
_LARGE = 2**20  # characters or bytes, from which looking at them keeps the event loop from others too long
_PIECE = 2**20  # characters, a multiple of 4: between two pieces other threads have their turn


class Pictures:
    """Gets pictures out of requests.

    Raises:
        SettingsError: the settings for URLs are wrong.
    """

    def __init__(self, settings: Settings) -> None:
        self._limits = settings.limits
        self._most_bytes = min(settings.limits.max_bytes, settings.queue.max_bytes)
        urls = settings.gateway.urls
        self._fetcher = Fetcher(urls, self._most_bytes) if urls.enabled else None

    async def get(self, text: str, deadline: float) -> tuple[bytes, Encoding, Header]:
        """The picture's bytes, what they are, and what their header says.

        Args:
            text: Base64, a data URL, or an http(s) URL.
            deadline: by the event loop's clock, for fetching.

        Raises:
            Failure: 413, 415 or 422 it is no picture that a worker would take; 504 it was not fetched in time.
        """
        scheme = _SCHEME.match(text)
        if scheme and scheme[1].lower() != "data":
            data = await self._fetched(text, scheme[1], deadline)
        elif len(text) > _LARGE:
            data = await asyncio.to_thread(from_base64, text)
        else:
            data = from_base64(text)
        if len(data) > _LARGE:
            return data, *await asyncio.to_thread(self._looked_at, data)
        return data, *self._looked_at(data)

    async def aclose(self) -> None:
        """Fetch no more."""
        if self._fetcher:
            await self._fetcher.aclose()

    async def _fetched(self, url: str, scheme: str, deadline: float) -> bytes:
        if scheme.lower() not in ("http", "https"):
            raise Failure(422, f"image: {scheme[:_SHOWN]}: is not fetched from; send Base64, or an http or https URL")
        if self._fetcher is None:
            raise Failure(
                422,
                "image: pictures are not fetched from URLs here; send the picture itself as Base64, or have the "
                "service's gateway.urls.enabled set to true and the host added to gateway.urls.allow",
            )
        try:
            async with asyncio.timeout_at(deadline):
                return await self._fetcher.fetch(url)
        except TimeoutError:
            raise Failure(504, "image: the picture was not fetched from its URL by the request's deadline") from None
        except UrlRefused as error:
            raise Failure(error.status, f"image: {error}") from error

    def _looked_at(self, data: bytes) -> tuple[Encoding, Header]:
        """A worker would find the same, some time later and with a dead letter for it."""
        if not data:
            raise Failure(422, "image: is empty")
        if len(data) > self._most_bytes:
            raise Failure(413, f"too_large: {len(data):,} bytes; limits.max_bytes leaves {self._most_bytes:,}")
        kind = Encoding.of(data)
        if kind is None:
            # What it begins with is not told: it may be somebody else's, fetched from a URL.
            raise Failure(415, "not_an_image: neither JPEG, PNG, WebP nor BMP")
        try:
            return kind, checked_header(data, kind, self._limits)
        except ImageError as error:
            raise of_frame_error(error) from error


def from_base64(text: str) -> bytes:
    """The bytes of Base64, which may be broken into lines, or of a data URL with it.

    Raises:
        Failure: 422 it is none.
    """
    if head := _DATA_URL.match(text):
        text = text[head.end() :]
    try:
        if len(text) <= _PIECE:
            return _decoded(text)
        text = _BREAKS.sub("", text)
        if "=" in text[:-2]:
            raise ValueError("padding stands amid it")
        return b"".join(_decoded(text[at : at + _PIECE]) for at in range(0, len(text), _PIECE))
    except (binascii.Error, ValueError) as error:
        raise Failure(422, f"image: is neither Base64 nor an http(s) URL: {error}") from error


def _decoded(text: str) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error:
        return binascii.a2b_base64(_BREAKS.sub("", text), strict_mode=True)
