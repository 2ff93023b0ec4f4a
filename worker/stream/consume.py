"""Taking frames from the line: new ones, and ones that a dead worker left unfinished."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import structlog

from worker.stream.connection import BLOCK_MS, Client, bearing_no_group, stream_errors
from worker.stream.keys import GROUP_INSPECT, LineKeys
from worker.stream.scripts import Script, publish_script

_FORGET_AFTER_S = 3_600.0
_IDS_AHEAD_MS = 3_600_000  # a clock that was set back by less is not taken for a foreign id
_HOLD_S = 10  # well over the pause between two calls of `show_up`
_BEHIND_ALL = f"{2**64 - 1}-{2**64 - 2}"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Delivery:
    """A frames entry as it came: flat [name, value, …] bytes, and how often it has been delivered."""

    id: str
    flat: list[bytes]
    attempts: int


class FrameConsumer:
    """One consumer of the group `inspect`; the errors are StreamUnavailable and StreamError."""

    def __init__(
        self,
        client: Client,
        keys: LineKeys,
        name: str,
        claim_idle_ms: int,
        forget_after_s: float = _FORGET_AFTER_S,
    ) -> None:
        self.name = name
        self._client = client
        self._keys = keys
        self._claim_idle_ms = claim_idle_ms
        self._forget_after_ms = int(forget_after_s * 1_000)
        self._cursor = "0-0"
        self._look = Script(client, "frames.lua", "look.lua")
        self._recover = Script(client, "frames.lua", "recover.lua")
        self._join_group = Script(client, "join.lua")
        self._leave = Script(client, "leave.lua")
        self._renew = Script(client, "frames.lua", "renew.lua")
        self._tend = Script(client, "frames.lua", "tend.lua")
        self._publish = publish_script(client)

    def join(self) -> None:
        """Make the group where it is missing, from the stream's beginning, and this consumer known in it."""
        with bearing_no_group():  # destroyed in between: the first read makes it again
            self._join()

    def waiting_bytes(self) -> int:
        """Bytes of all frames that wait or are in work; what foreign clients added is not among them."""
        with stream_errors():
            found = self._client.execute_command("HGET", self._keys.ledger, "backlog_bytes")
        return int(found) if found and found.isdigit() else 0

    def read(self, count: int, block_ms: int = BLOCK_MS) -> list[Delivery]:
        """Up to `count` frames that nobody has had yet; waits at most `block_ms` for the first.

        The group is made where it is missing (first start, FLUSHALL), from the stream's beginning.
        """
        reply = None
        with bearing_no_group(self._join):
            reply = self._client.execute_command(
                "XREADGROUP", "GROUP", GROUP_INSPECT, self.name, "COUNT", count, "BLOCK", block_ms,
                "STREAMS", self._keys.frames, ">",
            )  # fmt: skip
        # An entry that was deleted between delivery and reply has no fields; recover() counts it later.
        return [Delivery(entry_id.decode(), flat, 1) for entry_id, flat in (reply[0][1] if reply else []) if flat]

    def recover_own(self) -> Delivery | None:
        """The oldest frame that a dead predecessor of the same name had in hand, or None.

        One at a time: if a frame kills the process, the others' delivery counts do not grow with its.
        """
        return self._claim("own", 0, "0-0")

    def recover_idle(self) -> Delivery | None:
        """A frame that any worker has held for `claim_idle_ms` without finishing it, or None."""
        return self._claim("idle", self._claim_idle_ms, self._cursor)

    def show_up(self) -> None:
        """Have the server note that this worker is there, which a read without frames does only from Redis 7.2 on.

        Reads this consumer's own pending frames from behind the last possible one, so that none is delivered.
        Consumers that left nothing behind and were not seen for `forget_after_s` are forgotten: a box that was taken
        away, or a container whose name never comes again, is not down for ever. One that was only slow comes back with
        its next read.
        And does for the cameras what they have not the rights to: the publish script is loaded, and ids that a client
        has driven far ahead of the clock are brought back.
        """
        with bearing_no_group(self._join):
            self._publish.offer()
            self._bring_ids_back()
            self._client.execute_command(
                "XREADGROUP", "GROUP", GROUP_INSPECT, self.name, "COUNT", 1,
                "STREAMS", self._keys.frames, _BEHIND_ALL,
            )  # fmt: skip
            self._leave([self._keys.frames], [GROUP_INSPECT, "", self._forget_after_ms])

    def has_idle(self) -> bool:
        """Whether there are frames to take over; takes nothing. Either some worker has held one for `claim_idle_ms`
        without finishing it, or somebody deleted a consumer and what was pending with it."""
        found = 0
        with bearing_no_group():
            found = self._look([self._keys.frames], [GROUP_INSPECT, self._claim_idle_ms])
        return bool(found == 1)

    def renew(self, ids: list[str]) -> None:
        """Say that these frames are still in work here, so that nobody takes them over."""
        if ids:
            with bearing_no_group():  # then there is no lease either: the frames are delivered again anyway
                self._renew(self._books(), [GROUP_INSPECT, self.name, *ids])

    def leave(self) -> None:
        """Remove this consumer from the group, unless frames are pending under its name."""
        with bearing_no_group():
            self._leave([self._keys.frames], [GROUP_INSPECT, self.name, self._forget_after_ms])

    def _join(self) -> None:
        # A blocking read alone does not make a consumer known before Redis 7.2.
        self._join_group([self._keys.frames], [GROUP_INSPECT, "0", self.name])

    def _bring_ids_back(self) -> None:
        keys = [self._keys.frames, self._keys.hold, self._keys.pictures]
        done = self._tend(keys, [GROUP_INSPECT, _IDS_AHEAD_MS, _HOLD_S])
        if done == b"healed":
            log.error(
                "some client used an entry id far in the future; ids follow the clock again", line=self._keys.line
            )
        elif done == b"held":
            log.error("some client used an entry id far in the future; publishers wait until the queue is empty")

    def _claim(self, scope: str, idle_ms: int, cursor: str) -> Delivery | None:
        reply = None
        with bearing_no_group(self._join):
            reply = self._recover(self._books(), [GROUP_INSPECT, self.name, scope, idle_ms, cursor, 1])
        if reply is None:
            return None
        next_cursor, found = reply
        self._cursor = next_cursor.decode()
        if not found:
            return None
        entry_id, flat, attempts = found[0]
        return Delivery(entry_id.decode(), flat, attempts)

    def _books(self) -> list[str]:
        """The keys of a script that may find a frame gone, and counts it."""
        return [self._keys.frames, self._keys.ledger, self._keys.cameras, self._keys.sizes]


def consumer_count(client: Client, keys: LineKeys) -> int:
    """How many workers have joined the group `inspect`; 0 where it does not exist yet."""
    consumers: list[Any] = []
    with bearing_no_group():
        consumers = client.execute_command("XINFO", "CONSUMERS", keys.frames, GROUP_INSPECT)
    return len(consumers)
