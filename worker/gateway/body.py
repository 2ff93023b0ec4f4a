"""A request's body: counted while it comes, and limited in bytes and time."""

from __future__ import annotations

import asyncio

from starlette.requests import Request

from worker.gateway.failures import Failure
from worker.gateway.room import Held
from worker.settings import LimitSettings

# Base64 takes four characters for three bytes. JSON may write a slash as two characters and a line break, of which some
# encoders put one after each 76 characters, as four; all else in a request is short.
_CHARACTERS_A_BYTE = 4 / 3 * 1.1
_ALL_ELSE = 2**16
_OF_BROWSERS = ("origin", "sec-fetch-site")


def most_body_bytes(limits: LimitSettings) -> int:
    """What a request that holds the largest picture may have."""
    return int(limits.max_bytes * _CHARACTERS_A_BYTE) + _ALL_ELSE


async def read_body(
    request: Request, held: Held, most_bytes: int, within_s: float, limit: str = "limits.max_bytes leads to"
) -> bytes:
    """All of the JSON body. `limit` says where `most_bytes` comes from.

    Raises:
        Failure: 415 a browser does not say that it is JSON, or it is packed; 413 it is larger than `most_bytes`; 408 it
            does not come in `within_s` seconds; 429 there is no room for it now.
        ClientDisconnect: the client went away.
    """
    _check_kind(request)
    if int(request.headers.get("content-length", 0)) > most_bytes:
        raise _too_large(most_bytes, limit)
    try:
        async with asyncio.timeout(within_s):
            return await _read(request, held, most_bytes, limit)
    except TimeoutError:
        raise Failure(408, f"the request's body did not come within {within_s:g} s (gateway.timeout_s)") from None


def _check_kind(request: Request) -> None:
    """That the body is JSON must be said by browsers only, which tell where a request comes from.

    A page of another origin can have one send a body of any other kind without being asked (see CORS). Programs that
    were written for PaddleX's service forget to say it, or say that it is a form.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_json = kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))
    if not is_json and any(name in request.headers for name in _OF_BROWSERS):
        raise Failure(415, f"the body must be JSON, with Content-Type: application/json; it is {kind or 'not said'!r}")
    packed = request.headers.get("content-encoding", "identity").strip().lower()
    if packed != "identity":
        raise Failure(415, f"Content-Encoding {packed!r}: the body must not be packed; pictures are already")


async def _read(request: Request, held: Held, most_bytes: int, limit: str) -> bytes:
    pieces, size = [], 0
    async for piece in request.stream():
        size += len(piece)
        if size > most_bytes:
            raise _too_large(most_bytes, limit)
        held.take(len(piece))
        pieces.append(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _too_large(most_bytes: int, limit: str) -> Failure:
    return Failure(413, f"the request's body is larger than {most_bytes:,} bytes, which {limit}")
