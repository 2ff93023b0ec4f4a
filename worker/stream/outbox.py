"""The outbox of one sink: the events that wait for it, and what the one process that delivers them does with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from worker.errors import StreamError, StreamUnavailable
from worker.settings import KeepSettings, RedisSettings
from worker.stream.connection import BLOCK_MS, Client, mapping, stream_errors
from worker.stream.fields import alert_from_fields
from worker.stream.keys import LineKeys
from worker.stream.scripts import Script
from worker.types import Alert

LEASE_MS = 10_000
RENEW_EVERY_S = 2.5
"""A lease that is not renewed for so long as `LEASE_MS` is anybody's: a dead process is replaced after it."""

_NO_REPLICAS = RedisSettings()
_PAGE = 500
_SHOWN = 500

RawEntry = tuple[bytes, list[bytes]]


class LeaseLost(StreamError):
    """Another process delivers to this sink, or has done so meanwhile: take the lease, and read all anew."""


class OutboxEntry(NamedTuple):
    """What is known of an event that waits, without reading it: the ids of the entry and of the event, the camera."""

    id: str
    event: str
    camera: str


class Outbox:
    """Events on their way to one sink. Errors are StreamUnavailable and StreamError.

    `token` names the process. It delivers while it has the lease; each step asks for that in Redis and prolongs it.
    """

    def __init__(
        self,
        client: Client,
        keys: LineKeys,
        sink: str,
        keep: KeepSettings,
        token: str,
        redis: RedisSettings = _NO_REPLICAS,
    ) -> None:
        self.sink = sink
        self._client = client
        self._keys = keys.outbox(sink)
        self._all = keys.outboxes
        self._keep = keep
        self._token = token
        self._redis = redis
        self._lease = Script(client, "outbox_lease.lua")
        self._seal = Script(client, "outbox.lua", "outbox_seal.lua")
        self._end = Script(client, "outbox.lua", "outbox_end.lua")
        self._fail = Script(client, "outbox.lua", "outbox_fail.lua")

    def take(self) -> bool:
        """Take the lease; False where another process has it."""
        return self._ask_for_lease("take")

    def renew(self) -> bool:
        """Prolong the lease for `LEASE_MS`; False where this process has it no more."""
        return self._ask_for_lease("renew")

    def release(self) -> None:
        """Give the lease back, where this process has it: another one goes on at once."""
        self._ask_for_lease("release")

    def sealed(self) -> dict[str, str]:
        """The key of the message that an entry is sealed into, by the entry's id."""
        with stream_errors():
            state = mapping(self._client.execute_command("HGETALL", self._keys.state))
        return {name.removeprefix("in:"): key.decode() for name, key in state.items() if name.startswith("in:")}

    def all(self) -> Iterator[OutboxEntry]:
        """All that waits, oldest first."""
        start = "-"
        while True:
            with stream_errors():
                page = self._client.execute_command("XRANGE", self._keys.waiting, start, "+", "COUNT", _PAGE)
            yield from map(_entry, page)
            if len(page) < _PAGE:
                return
            start = f"({page[-1][0].decode()}"

    def read(self, after: str, block_ms: int = BLOCK_MS) -> list[OutboxEntry]:
        """What came behind the entry `after`, a page at most; waits at most `block_ms` for the first, 0: not at all."""
        block = ["BLOCK", block_ms] if block_ms else []
        with stream_errors():
            reply = self._client.execute_command(
                "XREAD", "COUNT", _PAGE, *block, "STREAMS", self._keys.waiting, after
            )  # fmt: skip
        return [_entry(entry) for entry in reply[0][1]] if reply else []

    def length(self) -> int:
        """How many wait."""
        with stream_errors():
            return int(self._client.execute_command("XLEN", self._keys.waiting))

    def seal(self, key: str, ids: Sequence[str]) -> list[Alert | StreamError | None]:
        """Before each try: these entries go under this key from here on, whoever tries.

        With `redis.wait_replicas` so many replicas know of it too, so that it outlives a failover.

        Returns:
            The events; None for an entry that is gone, and then nothing new was sealed; an error for one that is none.

        Raises:
            LeaseLost: nothing was done.
        """
        events = self._sealed("", [part for entry_id in ids for part in (entry_id, key)])
        if None not in events and self._redis.wait_replicas:
            self._wait_for_replicas(key, ids[0])
        return events

    def part(self, key: str, events: Sequence[OutboxEntry]) -> None:
        """The message with this key is none any more: from here on each of these goes alone, under its own id.

        Raises:
            LeaseLost: nothing was done.
        """
        self._sealed(key, [part for one in events for part in (one.id, one.event)])

    def delivered(self, key: str, ids: Sequence[str]) -> None:
        """The sink has taken this message: its entries leave the outbox.

        Raises:
            LeaseLost: nothing was done.
        """
        self._leave(key, ids, "", "")

    def bury(self, key: str, ids: Sequence[str], reason: str, error: str) -> None:
        """This message will not be delivered: its entries become dead letters, in one step.

        Raises:
            LeaseLost: nothing was done.
        """
        self._leave(key, ids, reason, error)

    def failed(self, key: str, error: str) -> float:
        """The sink has not taken this message; returns for how many seconds that is so by now.

        Raises:
            LeaseLost: nothing was noted.
        """
        with stream_errors():
            ms = self._fail(
                [self._keys.lease, self._keys.state], [self._token, LEASE_MS, key, error[:_SHOWN]]
            )  # fmt: skip
        if ms < 0:
            raise LeaseLost(f"another process delivers to {self.sink}")
        return int(ms) / 1_000

    def _ask_for_lease(self, what: str) -> bool:
        with stream_errors():
            has = self._lease([self._keys.lease, self._all], [self._token, LEASE_MS, what, self.sink])
        return bool(has == 1)

    def _sealed(self, group: str, pairs: list[str]) -> list[Alert | StreamError | None]:
        keys = [self._keys.lease, self._keys.waiting, self._keys.state]
        with stream_errors():
            entries = self._seal(keys, [self._token, LEASE_MS, group, *pairs])
        if entries is None:
            raise LeaseLost(f"another process delivers to {self.sink}")
        return [_alert(entry) if entry else None for entry in entries]

    def _wait_for_replicas(self, key: str, entry_id: str) -> None:
        # WAIT is for what its own connection wrote, and this may be a new one: hence the write before it. It may even
        # lead to a new primary, so the seal is asked for too.
        wanted = self._redis.wait_replicas
        with stream_errors():
            sealed, _, confirmed = self._client.execute_together(
                ("HGET", self._keys.state, f"in:{entry_id}"),
                ("PEXPIRE", self._keys.lease, LEASE_MS),
                ("WAIT", wanted, self._redis.wait_timeout_ms),
            )
        if confirmed < wanted or sealed != key.encode():
            raise StreamUnavailable(f"{confirmed} of {wanted} replicas confirmed a seal; see redis.wait_replicas")

    def _leave(self, key: str, ids: Sequence[str], reason: str, error: str) -> None:
        keys = [self._keys.lease, self._keys.waiting, self._keys.state, self._keys.dead]
        args: list[Any] = [self._token, LEASE_MS, key, reason, error[:_SHOWN], self._keep.alerts, *ids]
        with stream_errors():
            done = self._end(keys, args)
        if done != 1:
            raise LeaseLost(f"another process delivers to {self.sink}")


def _entry(entry: RawEntry) -> OutboxEntry:
    """Leniently: what is no event is found out when it is sealed, and can be buried then."""
    raw_id, flat = entry
    fields = dict(zip(flat[::2], flat[1::2], strict=False))
    entry_id = raw_id.decode()
    event = fields.get(b"event", raw_id).decode("utf-8", "replace")
    return OutboxEntry(entry_id, event, fields.get(b"camera", b"").decode("utf-8", "replace"))


def _alert(entry: RawEntry) -> Alert | StreamError:
    try:
        return alert_from_fields(_entry(entry).event, entry[1])
    except StreamError as error:
        return error
