"""The books of a line: what came in, what became of it, and whether the two agree."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import redis

from worker.stream.connection import Client, mapping, stream_errors
from worker.stream.keys import GROUP_INSPECT, LineKeys
from worker.stream.moment import read_at_once
from worker.types import Verdict

_NEVER_ENTERED = ("block-timeout", "drop-newest")  # why a publisher drops the frame in its hand


@dataclass(frozen=True, slots=True)
class Ledger:
    """One consistent look at the books (DESIGN: produced = verdicts + dead + dropped + backlog).

    `uncounted`: frames in the backlog that a foreign client put there and that no one has counted yet; they
    are counted when they are committed. 0 on Redis 7 and later, where the server counts entries itself, unless the
    stream is younger than the books.
    `cameras`: camera → what (`verdict:OK`, `dead:truncated`, `dropped:drop-oldest` …) → how many.
    """

    produced: int
    verdicts: dict[str, int]
    dead: int
    dropped: dict[str, int]
    backlog: int
    backlog_bytes: int
    pending: int
    uncounted: int
    dead_letters_kept: int
    cameras: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def difference(self) -> int:
        """Frames that came in and are nowhere: 0, or something lost frames."""
        ended = sum(self.verdicts.values()) + self.dead + sum(self.dropped.values())
        return self.produced - ended - self.backlog

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "produced": self.produced,
            "verdicts": self.verdicts,
            "dead": self.dead,
            "dropped": self.dropped,
            "backlog": self.backlog,
            "backlog_bytes": self.backlog_bytes,
            "pending": self.pending,
            "uncounted": self.uncounted,
            "dead_letters_kept": self.dead_letters_kept,
            "ledger_difference": self.difference,
            "cameras": self.cameras,
        }


def read_ledger(client: Client, keys: LineKeys) -> Ledger:
    """Read the books, all of one moment.

    Raises:
        StreamUnavailable: Redis is away.
    """
    replies = read_at_once(
        client,
        ("HGETALL", keys.ledger),
        ("HGETALL", keys.cameras),
        ("XLEN", keys.frames),
        ("XLEN", keys.dead),
        ("XINFO", "STREAM", keys.frames),
        ("XPENDING", keys.frames, GROUP_INSPECT),
    )
    with stream_errors():
        for reply in replies[:4]:
            if isinstance(reply, Exception):
                raise reply
    books = {name: int(value) for name, value in mapping(replies[0]).items()}
    stream = replies[4]  # an error where the stream does not exist yet
    entries_added = 0 if isinstance(stream, redis.ResponseError) else mapping(stream).get("entries-added")
    pending = replies[5]  # an error where the group does not exist yet
    return _ledger(
        books,
        mapping(replies[1]),
        backlog=replies[2],
        dead_kept=replies[3],
        entries_added=entries_added,
        pending=0 if isinstance(pending, redis.ResponseError) else pending[0],
    )


def _ledger(
    books: dict[str, int],
    cameras: dict[str, bytes],
    *,
    backlog: int,
    dead_kept: int,
    entries_added: int | None,
    pending: int,
) -> Ledger:
    verdicts = {verdict.value: books.get(f"verdict:{verdict.value}", 0) for verdict in Verdict}
    dropped = {name.removeprefix("dropped:"): n for name, n in sorted(books.items()) if name.startswith("dropped:")}
    counted = books.get("produced", 0)
    ended = sum(verdicts.values()) + books.get("dead", 0) + sum(dropped.values())
    # The server's own count includes what foreign clients added, but not what never entered. A stream restored from
    # an older server or re-created after FLUSHALL may know less than our books.
    entered = (entries_added or 0) + sum(dropped.get(reason, 0) for reason in _NEVER_ENTERED)
    known = max(counted, entered)
    # Redis 6.2 has no such count: what stands in the stream beyond our books is foreign and not yet counted. So it is
    # where the server knows less.
    server_counts = entries_added is not None and entered >= counted
    uncounted = 0 if server_counts else max(0, min(backlog, ended + backlog - known))
    return Ledger(
        produced=known + uncounted,
        verdicts=verdicts,
        dead=books.get("dead", 0),
        dropped=dropped,
        backlog=backlog,
        backlog_bytes=books.get("backlog_bytes", 0),
        pending=pending,
        uncounted=uncounted,
        dead_letters_kept=dead_kept,
        cameras=_by_camera(cameras),
    )


def _by_camera(fields: dict[str, bytes]) -> dict[str, dict[str, int]]:
    cameras: dict[str, dict[str, int]] = {}
    for name in sorted(fields):
        camera, _, what = name.partition(":")
        cameras.setdefault(camera, {})[what] = int(fields[name])
    return cameras
