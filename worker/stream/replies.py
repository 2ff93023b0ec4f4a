"""Replies to the frames that were published with a token of one's own: results and dead letters, as they come."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from worker.errors import StreamError
from worker.stream.connection import BLOCK_MS, Client, pairs, stream_errors
from worker.stream.fields import result_from_fields
from worker.stream.keys import LineKeys
from worker.types import Result

_PAGE = 64


@dataclass(frozen=True, slots=True)
class DeadReply:
    """A frame that could not be inspected, as whoever published it is told; see `stream.commit.Dead`."""

    frame: str
    reason: str
    error: str


Reply = Result | DeadReply


class Replies:
    """Reads what is said to a token, by one reader, and takes it off the stream, which so does not grow."""

    def __init__(self, client: Client, keys: LineKeys, token: str) -> None:
        self._client = client
        self._stream = keys.reply(token)
        self._read: list[bytes] = []

    def read(self, block_ms: int = BLOCK_MS) -> list[Reply]:
        """The replies that are there, or the first that come within `block_ms`.

        What one call gave is deleted by the next, in one round trip, so that an answer that was lost comes again.
        Hence replies may come twice. Entries that are not ours are left out.

        Raises:
            StreamUnavailable: Redis is away; call again.
        """
        # From the stream's beginning, for there is nothing behind us; and deleted by their ids, not up to one: a stream
        # that expired and began anew under a clock that was set back has smaller ones.
        read: tuple[Any, ...] = ("XREAD", "COUNT", _PAGE, "BLOCK", block_ms, "STREAMS", self._stream, "0-0")
        with stream_errors():
            if self._read:
                reply = self._client.execute_together(("XDEL", self._stream, *self._read), read)[1]
            else:
                reply = self._client.execute_command(*read)
        page = reply[0][1] if reply else []
        self._read = [entry_id for entry_id, _ in page]
        return list(_decoded(page))

    def delete_read(self) -> None:
        """Take off what the last `read` gave, where no other call follows it."""
        if self._read:
            with stream_errors():
                self._client.execute_command("XDEL", self._stream, *self._read)
            self._read = []


def _decoded(page: list[tuple[bytes, list[bytes]]]) -> Iterator[Reply]:
    for entry_id, flat in page:
        try:
            yield _reply(entry_id.decode(), flat)
        except (StreamError, ValueError):
            continue  # written by someone else, who is not told


def _reply(entry_id: str, flat: list[bytes]) -> Reply:
    fields = dict(pairs(flat))
    if b"verdict" in fields:
        return result_from_fields(entry_id, flat)
    frame, reason, error = (fields.get(name, b"").decode() for name in (b"frame", b"reason", b"error"))
    if not reason:
        raise StreamError(f"entry {entry_id} is neither a result nor a dead letter")
    return DeadReply(frame, reason, error)
