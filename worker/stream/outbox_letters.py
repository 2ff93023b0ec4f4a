"""What waits for the sinks and what could not be delivered, as people and metrics see it; letters can be replayed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from worker.errors import StreamError
from worker.stream.connection import Client, mapping, pairs, stream_errors
from worker.stream.fields import entry_time_ns
from worker.stream.keys import LineKeys
from worker.stream.moment import read_at_once
from worker.stream.scripts import Script

_PAGE = 100
_BURIED = "buried:"
_ENTRY_ID = re.compile(r"[0-9]{1,20}-[0-9]{1,20}", re.ASCII)


@dataclass(frozen=True, slots=True)
class OutboxView:
    """An outbox at one moment: how many events wait, and the age of the oldest, 0 where none does.

    `dead` are the dead letters that are kept; `buried` counts all that there ever were, by reason. `error` is the
    latest failure, of whichever message, `error_at` its time in unix nanoseconds, 0 where there never was one.
    """

    sink: str
    waiting: int
    lag_s: float
    dead: int
    buried: dict[str, int]
    error: str
    error_at: int


@dataclass(frozen=True, slots=True)
class OutboxLetter:
    """An event that a sink did not get. `alert` are the fields of its entry, `id` among them the event's."""

    id: str
    sink: str
    reason: str
    error: str
    dead_at: int
    alert: dict[str, str]


class OutboxLetters:
    """The outboxes of a line from outside. The errors are StreamUnavailable and StreamError."""

    def __init__(self, client: Client, keys: LineKeys) -> None:
        self._client = client
        self._keys = keys
        self._replay = Script(client, "frames.lua", "outbox_replay.lua")

    def sinks(self) -> list[str]:
        """The sinks that ever had an outbox."""
        with stream_errors():
            return sorted(name.decode() for name in self._client.execute_command("SMEMBERS", self._keys.outboxes))

    def look(self, sinks: Sequence[str]) -> list[OutboxView]:
        """The outboxes of these sinks."""
        commands: list[tuple[Any, ...]] = [("TIME",)]
        for keys in map(self._keys.outbox, sinks):
            commands += [
                ("XLEN", keys.waiting),
                ("XRANGE", keys.waiting, "-", "+", "COUNT", 1),
                ("XLEN", keys.dead),
                ("HGETALL", keys.state),
            ]
        (seconds, _), *replies = self._read(commands)
        looks = [replies[place : place + 4] for place in range(0, len(replies), 4)]
        return [_view(sink, int(seconds), *look) for sink, look in zip(sinks, looks, strict=True)]

    def letters(self, sink: str, *, reason: str | None = None) -> Iterator[OutboxLetter]:
        """All letters of a sink, oldest first, a page at a time."""
        start = "-"
        while True:
            with stream_errors():
                page = self._client.execute_command("XRANGE", self._keys.outbox(sink).dead, start, "+", "COUNT", _PAGE)
            for entry_id, flat in page:
                letter = _letter(sink, entry_id, flat)
                if reason in (None, letter.reason):
                    yield letter
            if len(page) < _PAGE:
                return
            start = f"({page[-1][0].decode()}"

    def replay(self, sink: str, letter_id: str) -> str:
        """Put the event back on the sink's outbox, behind what waits; returns the id of its new entry there.

        Raises:
            StreamError: there is no such letter.
        """
        _check_id(letter_id)
        keys = self._keys.outbox(sink)
        with stream_errors():
            new_id = self._replay([keys.waiting, keys.dead], [letter_id])
        if new_id is None:
            raise StreamError(f"{sink} has no dead letter {letter_id}: replayed or purged meanwhile, or never there")
        return str(new_id.decode())

    def purge(self, sink: str, letter_id: str) -> bool:
        """Delete the letter for good; False where it was gone already.

        Raises:
            StreamError: it cannot be a letter's id.
        """
        _check_id(letter_id)
        with stream_errors():
            return bool(self._client.execute_command("XDEL", self._keys.outbox(sink).dead, letter_id) == 1)

    def _read(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        replies = read_at_once(self._client, *commands)
        with stream_errors():
            for reply in replies:
                if isinstance(reply, Exception):
                    raise reply
        return replies


def _check_id(letter_id: str) -> None:
    # Redis takes half an id too, and in each command for something else.
    if not _ENTRY_ID.fullmatch(letter_id):
        raise StreamError(f"{letter_id[:100]!r} is no letter's id; `line-worker outbox dead` shows them")


def _view(sink: str, now_s: int, waiting: int, oldest: list[Any], dead: int, state: list[Any]) -> OutboxView:
    fields = mapping(state)
    since_s = entry_time_ns(oldest[0][0].decode()) / 1e9 if oldest else now_s
    return OutboxView(
        sink=sink,
        waiting=waiting,
        lag_s=max(0.0, now_s - since_s),
        dead=dead,
        buried={name.removeprefix(_BURIED): int(n) for name, n in fields.items() if name.startswith(_BURIED)},
        error=fields.get("error", b"").decode("utf-8", "replace"),
        error_at=int(fields.get("error_at", 0)),
    )


def _letter(sink: str, entry_id: bytes, flat: list[bytes]) -> OutboxLetter:
    fields = {name.decode("utf-8", "replace"): value.decode("utf-8", "replace") for name, value in pairs(flat)}
    return OutboxLetter(
        id=entry_id.decode(),
        sink=sink,
        reason=fields.pop("reason", ""),
        error=fields.pop("error", ""),
        dead_at=int(fields.pop("dead_at", "") or 0),
        alert={"id": fields.pop("event", "")} | fields,
    )
