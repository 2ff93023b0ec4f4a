"""Following results and alerts as a plain subscriber: no group, nothing acknowledged."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from worker.errors import StreamError
from worker.stream.connection import BLOCK_MS, Client, stream_errors

Entry = TypeVar("Entry")
Decode = Callable[[str, list[bytes]], Entry]


def last_entries(client: Client, stream: str, decode: Decode[Entry], count: int) -> list[Entry]:
    """The newest `count` entries, oldest first. Entries that are not ours are left out."""
    with stream_errors():
        page = client.execute_command("XREVRANGE", stream, "+", "-", "COUNT", count)
    return list(_decoded(reversed(page), decode))


def newest_first(client: Client, stream: str, decode: Decode[Entry], page: int = 200) -> Iterator[Entry]:
    """All entries from the newest back to the oldest, fetched page by page. Entries that are not ours are left out."""
    end = "+"
    while True:
        with stream_errors():
            entries = client.execute_command("XREVRANGE", stream, end, "-", "COUNT", page)
        if not entries:
            return
        yield from _decoded(entries, decode)
        end = f"({entries[-1][0].decode()}"


def last_id(client: Client, stream: str) -> str:
    """The id of the newest entry, `0-0` where there is none."""
    with stream_errors():
        page = client.execute_command("XREVRANGE", stream, "+", "-", "COUNT", 1)
    return page[0][0].decode() if page else "0-0"


class Tail(Generic[Entry]):
    """Follows a stream from an id on; after StreamUnavailable call `read` again, nothing is skipped."""

    def __init__(self, client: Client, stream: str, decode: Decode[Entry], after: str) -> None:
        self._client = client
        self._stream = stream
        self._decode = decode
        self.after = after

    def read(self, count: int = 100, block_ms: int = BLOCK_MS) -> list[Entry]:
        """Up to `count` entries after those read before; waits at most `block_ms` for the first."""
        with stream_errors():
            reply = self._client.execute_command(
                "XREAD", "COUNT", count, "BLOCK", block_ms, "STREAMS", self._stream, self.after
            )
        page = reply[0][1] if reply else []
        if page:
            self.after = page[-1][0].decode()
        return list(_decoded(page, self._decode))

    def follow(self, stop: threading.Event) -> Iterator[Entry]:
        """Entries as they come, until `stop` is set."""
        while not stop.is_set():
            yield from self.read()


def _decoded(page: Iterable[tuple[bytes, list[bytes]]], decode: Decode[Entry]) -> Iterator[Entry]:
    for entry_id, flat in page:
        try:
            yield decode(entry_id.decode(), flat)
        except StreamError:
            continue  # written by someone else; a subscriber has no one to tell
