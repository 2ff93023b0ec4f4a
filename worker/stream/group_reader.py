"""Reading a stream as a consumer group's one consumer, whatever becomes of the group."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import structlog

from worker.errors import StreamError, StreamUnavailable
from worker.stream.connection import Client, bearing_no_group, stream_errors
from worker.stream.scripts import Script

PAGE = 100
# One name for whoever plays the part: a restarted process finds what its predecessor had in hand.
CONSUMER = "alerts"

log = structlog.get_logger()
Entry = TypeVar("Entry")
RawEntry = tuple[bytes, list[bytes] | None]


class GroupReader(Generic[Entry]):
    """Reads a stream as a group's one consumer; what is trimmed or not ours is acknowledged and logged.

    `settled`: the key under which `alert.lua` keeps how far the group has come.
    """

    def __init__(
        self,
        client: Client,
        stream: str,
        group: str,
        decode: Callable[[str, list[bytes]], Entry],
        settled: str,
    ) -> None:
        self._client = client
        self._stream = stream
        self._group = group
        self._decode = decode
        self._settled = settled
        self._joined = False

    def pending(self) -> list[Entry]:
        """All that was read and not acknowledged."""
        found: list[Entry] = []
        after = "0"
        while page := self._page(PAGE, [], after):
            found += self._decoded(page)
            after = page[-1][0].decode()
        return found

    def has_left(self, idle_ms: int) -> bool:
        """Whether something was read longer than `idle_ms` ago and not acknowledged since."""
        left = None
        with bearing_no_group():  # the next read makes it
            left = self._client.execute_command(
                "XPENDING", self._stream, self._group, "IDLE", idle_ms, "-", "+", 1, CONSUMER
            )
        return bool(left)

    def read(self, count: int, block_ms: int) -> list[Entry]:
        """Up to `count` new entries; waits at most `block_ms` for the first.

        Raises:
            StreamUnavailable: also where the group was deleted; it has been made again.
        """
        return self._decoded(self._page(count, ["BLOCK", max(block_ms, 1)], ">"))  # BLOCK 0 is for ever

    def acknowledge(self, ids: Sequence[str]) -> None:
        """These are done with."""
        with stream_errors():
            self._client.execute_command("XACK", self._stream, self._group, *ids)

    def _page(self, count: int, block: list[Any], after: str) -> list[RawEntry]:
        reply = None
        with bearing_no_group(self._make_group_again):
            reply = self._client.execute_command(
                "XREADGROUP", "GROUP", self._group, CONSUMER, "COUNT", count, *block,
                "STREAMS", self._stream, after,
            )  # fmt: skip
            self._joined = True
        return list(reply[0][1]) if reply else []

    def _make_group_again(self) -> None:
        """Where it stood; where nobody knows that, from the stream's beginning."""
        floor = self._client.execute_command("HGET", self._settled, "floor")
        Script(self._client, "join.lua")([self._stream], [self._group, floor or "0", ""])
        if self._joined:
            self._joined = False
            raise StreamUnavailable(f"the group {self._group} was deleted; it was made again")

    def _decoded(self, page: list[RawEntry]) -> list[Entry]:
        entries: list[Entry] = []
        useless: list[str] = []
        settled = self._already_settled([raw_id for raw_id, _ in page])
        for raw_id, flat in page:
            entry_id = raw_id.decode()
            if raw_id in settled:
                useless.append(entry_id)
                continue
            if not flat:
                log.warning("entry was trimmed before it was handled", stream=self._stream, id=entry_id)
                useless.append(entry_id)
                continue
            try:
                entries.append(self._decode(entry_id, flat))
            except StreamError as error:
                log.warning("entry is not ours", stream=self._stream, id=entry_id, error=str(error))
                useless.append(entry_id)
        if useless:
            self.acknowledge(useless)
        return entries

    def _already_settled(self, ids: list[bytes]) -> set[bytes]:
        """Those that come again, since their group was deleted after they were settled."""
        if not ids:
            return set()
        with stream_errors():
            marks = self._client.execute_command("HMGET", self._settled, *ids)
        return {entry_id for entry_id, mark in zip(ids, marks, strict=True) if mark is not None}
