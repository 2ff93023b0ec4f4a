"""Ending frames: result or dead letter, acknowledge, delete, count: one script call for a whole batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from worker.settings import KeepSettings
from worker.stream.connection import Client, stream_errors
from worker.stream.fields import Fields, flat_fields, result_to_fields
from worker.stream.keys import GROUP_INSPECT, LineKeys
from worker.stream.scripts import Script
from worker.types import Result


@dataclass(frozen=True, slots=True)
class Finished:
    """A frame that got its verdict."""

    result: Result
    reply_to: str = ""


@dataclass(frozen=True, slots=True)
class Dead:
    """A frame that could not be inspected. `camera` is `?` where the entry has no usable name."""

    frame: str
    camera: str
    reason: str
    error: str
    attempts: int
    worker: str
    at: int
    reply_to: str = ""

    def fields(self) -> Fields:
        """The fields of its dead letter; the script adds the entry itself as `original.*`."""
        return {
            "frame": self.frame,
            "camera": self.camera,
            "reason": self.reason,
            "error": self.error,
            "attempts": str(self.attempts),
            "worker": self.worker,
            "dead_at": str(self.at),
        }


Outcome = Finished | Dead


class Committer:
    """Ends frames on a line; safe to call again with the same outcomes when an answer was lost."""

    def __init__(self, client: Client, keys: LineKeys, keep: KeepSettings) -> None:
        self._keys = keys
        self._keep = keep
        self._script = Script(client, "frames.lua", "letters.lua", "commit.lua")

    def commit(self, outcomes: Sequence[Outcome]) -> list[bool]:
        """End these frames. True where it was ended here, False where another worker had ended it before.

        Raises:
            StreamUnavailable: Redis is away; call again.
        """
        if not outcomes:
            return []
        keys, keep = self._keys, self._keep
        key_list = [keys.frames, keys.results, keys.dead, keys.dead_bytes, keys.ledger, keys.cameras, keys.sizes]
        args: list[str | bytes | int] = [GROUP_INSPECT, keep.results, keep.dead, keep.dead_bytes, keep.reply_s]
        replies = 0
        for outcome in outcomes:
            reply_index = 0
            if outcome.reply_to:
                replies += 1
                reply_index = replies
                key_list.append(keys.reply(outcome.reply_to))
            args += _arguments(outcome, reply_index)
        with stream_errors():
            return [done == 1 for done in self._script(key_list, args)]


def _arguments(outcome: Outcome, reply_index: int) -> list[str | bytes | int]:
    if isinstance(outcome, Finished):
        result = outcome.result
        head = [result.frame, "result", result.camera, result.verdict.value]
        fields = flat_fields(result_to_fields(result))
    else:
        head = [outcome.frame, "dead", outcome.camera, outcome.reason]
        fields = flat_fields(outcome.fields())
    return [*head, reply_index, len(fields), *fields]
