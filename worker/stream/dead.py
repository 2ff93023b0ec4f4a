"""Dead letters: frames that could not be inspected, with the reason; they can be looked at and replayed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from worker.errors import StreamError
from worker.stream.connection import Client, pairs, stream_errors
from worker.stream.keys import LineKeys
from worker.stream.scripts import Script

_PAGE = 16  # letters carry whole images
_SHOWN = 256  # well over what any right field holds
_ENTRY_ID = re.compile(r"\d{1,20}-\d{1,20}")
_ORIGINAL = "original."


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A frame that could not be inspected; `original` are the fields of its entry as they came.

    Of an entry larger than `keep.dead_bytes` only its bytes' number is kept, `not_kept`.
    """

    id: str
    frame: str
    camera: str
    reason: str
    error: str
    attempts: int
    worker: str
    dead_at: int
    original: dict[str, bytes]
    not_kept: int = 0

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the image, and what else is long, is given by the number of its bytes."""
        return {
            "id": self.id,
            "frame": self.frame,
            "camera": self.camera,
            "reason": self.reason,
            "error": self.error,
            "attempts": self.attempts,
            "worker": self.worker,
            "dead_at": self.dead_at,
            "not_kept": self.not_kept,
            "original": {
                name[:_SHOWN]: f"<{len(value)} bytes>" if _is_long(name, value) else value.decode("utf-8", "replace")
                for name, value in self.original.items()
            },
        }


class DeadLetters:
    """The dead letters of a line. The errors are StreamUnavailable and StreamError."""

    def __init__(self, client: Client, keys: LineKeys) -> None:
        self._client = client
        self._keys = keys
        self._replay = Script(client, "frames.lua", "letters.lua", "replay.lua")
        self._purge = Script(client, "frames.lua", "letters.lua", "purge.lua")

    def list(self, *, camera: str | None = None, reason: str | None = None) -> Iterator[DeadLetter]:
        """All letters, oldest first, a page at a time."""
        start = "-"
        while True:
            with stream_errors():
                page = self._client.execute_command("XRANGE", self._keys.dead, start, "+", "COUNT", _PAGE)
            for entry_id, flat in page:
                letter = _letter(entry_id, flat)
                if camera in (None, letter.camera) and reason in (None, letter.reason):
                    yield letter
            if len(page) < _PAGE:
                return
            start = f"({page[-1][0].decode()}"

    def get(self, letter_id: str) -> DeadLetter:
        """One letter, by its own id, else by its frame's: both count milliseconds, so that they may be equal.

        Raises:
            StreamError: there is none with this id.
        """
        if _ENTRY_ID.fullmatch(letter_id):
            with stream_errors():
                found = self._client.execute_command("XRANGE", self._keys.dead, letter_id, letter_id)
            if found:
                return _letter(*found[0])
        for letter in self.list():
            if letter.frame == letter_id:
                return letter
        raise StreamError(f"there is no dead letter {letter_id}; `line-worker dead list` shows them")

    def replay(self, letter_id: str) -> str:
        """Put the frame of the letter with this id back on the queue as a new one; returns the frame's id.

        Raises:
            StreamError: the letter is gone, or kept nothing that could be replayed.
        """
        keys = self._keys
        with stream_errors():
            new_id = self._replay([keys.frames, keys.dead, keys.dead_bytes, keys.ledger, keys.sizes], [letter_id])
        if new_id is None:
            raise StreamError(f"dead letter {letter_id} is gone: replayed or purged meanwhile")
        return str(new_id.decode())

    def purge(self, letter_id: str) -> bool:
        """Delete the letter with this id for good; False where it was gone already."""
        with stream_errors():
            return bool(self._purge([self._keys.dead, self._keys.dead_bytes], [letter_id]) == 1)


def _is_long(name: str, value: bytes) -> bool:
    return name == "data" or len(value) > _SHOWN


def _letter(entry_id: bytes, flat: list[bytes]) -> DeadLetter:
    fields = {name.decode("utf-8", "replace"): value for name, value in pairs(flat)}

    def text(name: str) -> str:
        return fields.get(name, b"").decode("utf-8", "replace")

    return DeadLetter(
        id=entry_id.decode(),
        frame=text("frame"),
        camera=text("camera"),
        reason=text("reason"),
        error=text("error"),
        attempts=int(text("attempts") or 0),
        worker=text("worker"),
        dead_at=int(text("dead_at") or 0),
        original={n.removeprefix(_ORIGINAL): v for n, v in fields.items() if n.startswith(_ORIGINAL)},
        not_kept=int(text("not_kept") or 0),
    )
