"""The Redis side of alerting: results in, state and alert events out in one step, each event on every outbox."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import redis

from worker.errors import StreamError
from worker.settings import KeepSettings, OutboxSettings
from worker.stream.alarm_states import LINE, Saved, load_states, load_version, server_time_ns
from worker.stream.connection import BLOCK_MS, Client, mapping, stream_errors
from worker.stream.evidence import EvidenceBoard, EvidenceProblem
from worker.stream.fields import CAMERA, alert_to_fields, flat_fields, result_from_fields
from worker.stream.group_reader import PAGE, GroupReader
from worker.stream.keys import GROUP_ALERTING, GROUP_INSPECT, LineKeys
from worker.stream.moment import read_at_once
from worker.stream.orders import Orders
from worker.stream.scripts import Script, publish_script
from worker.types import Alert, Result

STATE_KEPT_S = 31 * 24 * 3600
"""A camera's state is kept so long after its last step: names that never come again do not pile up."""


@dataclass(frozen=True, slots=True)
class Worker:
    """A consumer of the group `inspect`, `away_s` seconds since it was last seen (`FrameConsumer.show_up`)."""

    name: str
    away_s: float


@dataclass(frozen=True, slots=True)
class LineView:
    """A look at the line: frames waiting or in work, the workers, and those that cannot keep evidence."""

    waiting: int
    workers: tuple[Worker, ...]
    evidence: tuple[EvidenceProblem, ...] = ()


class AlertStore:
    """Results and orders for the alert process, and its state; errors are StreamUnavailable and StreamError.

    To be safe against a second process: `load` first, then `pending` and `read`, and after a `commit` that
    was refused begin again. What is read after the state and committed with its version is still unsettled:
    settling anything of a camera changes its version.

    `sinks` are the names of those that get every event, by outboxes that hold at most `most_waiting` each.
    """

    def __init__(
        self,
        client: Client,
        keys: LineKeys,
        keep: KeepSettings,
        sinks: Iterable[str] = (),
        most_waiting: int = OutboxSettings().max_events,
    ) -> None:
        self.orders = Orders(client, keys)
        self._evidence = EvidenceBoard(client, keys)
        self._client = client
        self._keys = keys
        self._keep = keep
        self._outboxes = [keys.outbox(sink) for sink in sinks]
        self._most_waiting = most_waiting
        self._script = Script(client, "frames.lua", "ids.lua", "outbox.lua", "alert.lua")
        self._publish = publish_script(client)
        self._results = GroupReader(client, keys.results, GROUP_ALERTING, _result, keys.settled)

    def load(self) -> dict[str, Saved]:
        """The saved states by camera; the line's own under `LINE`."""
        return load_states(self._client, self._keys)

    def load_version(self, name: str) -> int:
        """The version of one of them now; 0 where there is none."""
        return load_version(self._client, self._keys, name)

    def pending(self) -> list[Result]:
        """All results that were read but not settled, by this process or the one before it."""
        return self._results.pending()

    def has_left(self, idle_ms: int) -> bool:
        """Whether a result was read longer than `idle_ms` ago and nobody has settled it since."""
        return self._results.has_left(idle_ms)

    def read(self, count: int = PAGE, block_ms: int = BLOCK_MS) -> list[Result]:
        """Up to `count` new results, pending until settled; waits at most `block_ms` for the first.

        Raises:
            StreamUnavailable: also where somebody has deleted the group, which is made again where it stood: what
                was read and not settled comes once more, so begin again with `load`.
        """
        return self._results.read(count, block_ms)

    def commit(
        self, name: str, saved: Saved, settled: Sequence[str] = (), events: Sequence[Alert] = ()
    ) -> list[str] | None:
        """In one step: keep the state, publish the events, acknowledge the results. A shelved event goes to no sink.

        Args:
            name: a camera, or `LINE`.
            saved: the new text, with the version that the step began from. Without a text the state is
                forgotten: the next step begins from version 0.
            settled: ids of results.

        Returns:
            The ids of the events' entries; None where the state has moved on, and nothing was done.
        """
        args: list[Any] = [
            saved.version,
            saved.text,
            0 if name == LINE else STATE_KEPT_S,
            self._keep.alerts,
            GROUP_ALERTING,
            self._most_waiting,
            len(settled),
            *settled,
        ]
        for event in events:
            fields = flat_fields(alert_to_fields(event))
            args += [0 if event.shelved else 1, len(fields), *fields]
        keys = [self._keys.alarm(name), self._keys.alerts, self._keys.results, self._keys.settled]
        for outbox in self._outboxes:
            keys += [outbox.waiting, outbox.state, outbox.dead]
        with stream_errors():
            told = self._script(keys, args)
        return None if told is None else [entry_id.decode() for entry_id in told]

    def now(self) -> int:
        """Unix nanoseconds by the server's clock, the one that entry ids come from."""
        return server_time_ns(self._client)

    def look(self) -> LineView:
        """The backlog and the workers at one moment. Also loads the publish script, for cameras that may not."""
        frames = self._keys.frames
        with stream_errors():
            self._publish.offer()
        waiting, consumers = read_at_once(self._client, ("XLEN", frames), ("XINFO", "CONSUMERS", frames, GROUP_INSPECT))
        with stream_errors():
            if isinstance(waiting, Exception):
                raise waiting
        if isinstance(consumers, redis.ResponseError):  # no stream or no group yet
            return LineView(waiting, ())
        return LineView(waiting, _workers([mapping(consumer) for consumer in consumers]), self._evidence.problems())


def _result(entry_id: str, flat: list[bytes]) -> Result:
    result = result_from_fields(entry_id, flat)
    if not CAMERA.fullmatch(result.camera):
        raise StreamError(f"entry {entry_id} is not a result: camera {result.camera!r} is no camera's name")
    return result


def _workers(consumers: list[dict[str, Any]]) -> tuple[Worker, ...]:
    return tuple(
        Worker(name=consumer["name"].decode("utf-8", "replace"), away_s=consumer["idle"] / 1_000)
        for consumer in consumers
    )
