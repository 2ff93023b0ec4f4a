"""Which workers cannot keep evidence: written by them, read by the alert process."""

from __future__ import annotations

import json
from dataclasses import dataclass

import redis

from worker.stream.alarm_states import server_time_ns
from worker.stream.connection import Client, is_no_permission, pairs, stream_errors
from worker.stream.keys import LineKeys

_FORGOTTEN_AFTER_S = 24 * 3600  # the whole hash, where no worker has trouble any more
_MAX_REASON = 300  # characters


@dataclass(frozen=True, slots=True)
class EvidenceProblem:
    """Why a worker cannot keep evidence, as it last said, at this time by the server's clock (unix nanoseconds)."""

    worker: str
    reason: str
    at: int


class EvidenceBoard:
    """Where workers say so; the errors are StreamUnavailable and StreamError."""

    def __init__(self, client: Client, keys: LineKeys) -> None:
        self._client = client
        self._key = keys.evidence

    def report(self, worker: str, reason: str) -> None:
        """Say that this worker cannot keep evidence. To be said again and again: what is not fades."""
        with stream_errors():
            told = json.dumps({"reason": reason[:_MAX_REASON], "at": server_time_ns(self._client)})
            self._client.execute_command("HSET", self._key, worker, told)
            self._client.execute_command("EXPIRE", self._key, _FORGOTTEN_AFTER_S)

    def withdraw(self, worker: str) -> None:
        """Say that it can, or that it has left."""
        with stream_errors():
            self._client.execute_command("HDEL", self._key, worker)

    def problems(self) -> tuple[EvidenceProblem, ...]:
        """What stands there, however old; what is not as workers write it is left out."""
        with stream_errors():
            try:
                flat = self._client.execute_command("HGETALL", self._key)
            except redis.ResponseError as error:
                # Something else stands there, or the rights are of an earlier version: nothing that ends the alerts.
                if is_no_permission(error) or "WRONGTYPE" in str(error):
                    return ()
                raise
        return tuple(found for name, text in pairs(flat) if (found := _parsed(name, text)))


def _parsed(name: bytes, text: bytes) -> EvidenceProblem | None:
    try:
        told = json.loads(text)
        return EvidenceProblem(name.decode(), str(told["reason"]), int(told["at"]))
    except (ValueError, KeyError, TypeError):
        return None
