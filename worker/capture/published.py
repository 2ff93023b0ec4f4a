"""Which pictures of a watched folder were published: kept in a file, so that a restart publishes none of them again."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import NamedTuple

import structlog

from worker.errors import SourceError

log = structlog.get_logger()

_MANY = 100_000  # entries; fewer take neither memory nor time worth a thought


class Stamp(NamedTuple):
    """What tells a file from an older or newer one of its name: time of its last change (unix ns) and bytes."""

    changed_at: int
    size: int


class Published:
    """Path → stamp of the pictures that the line took; each is a line of JSON in the file.

    A line is written right after its picture was taken. Where the process is killed between the two, that one picture
    is published again.

    Raises:
        SourceError: the file cannot be read or made, or another process has it.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._told = False
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        except OSError as error:
            raise SourceError(f"{file}: cannot keep which pictures were published: {error.strerror}") from error
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            content = file.read_bytes()
        except OSError as error:
            self.close()
            why = "another process watches for this camera" if isinstance(error, BlockingIOError) else error.strerror
            raise SourceError(f"{file}: {why}") from error
        if content and not content.endswith(b"\n"):  # cut off by a power cut
            self._write(b"\n")
        self._stamps = dict(filter(None, map(_entry, content.splitlines())))

    def __contains__(self, picture: tuple[str, Stamp]) -> bool:
        path, stamp = picture
        return self._stamps.get(path) == stamp

    def add(self, path: str, stamp: Stamp) -> None:
        """The line has taken this picture."""
        self._stamps[path] = stamp
        self._write(_line(path, stamp))

    def forget_all_but(self, paths: set[str]) -> None:
        """Drop what is not among `paths`, where there are so many that it is worth it."""
        if len(self._stamps) <= _MANY:
            return
        self._stamps = {path: stamp for path, stamp in self._stamps.items() if path in paths}
        fresh = self._file.with_suffix(".new")
        try:
            fresh.write_bytes(b"".join(_line(path, stamp) for path, stamp in self._stamps.items()))
            handle = os.open(fresh, os.O_RDWR | os.O_APPEND)
            fcntl.flock(handle, fcntl.LOCK_EX)
            fresh.replace(self._file)
        except OSError as error:
            log.warning("the list of published pictures stays long", file=str(self._file), error=error.strerror)
            return
        os.close(self._handle)
        self._handle = handle

    def close(self) -> None:
        """Let go of the file; called again it does nothing."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _write(self, line: bytes) -> None:
        try:
            os.write(self._handle, line)
        except OSError as error:  # a full disk: what is published twice is better than a line that stands still
            if not self._told:
                log.error(
                    "published pictures are not noted; a restart publishes them again",
                    file=str(self._file),
                    error=error.strerror,
                )
            self._told = True
        else:
            self._told = False


def _line(path: str, stamp: Stamp) -> bytes:
    return json.dumps([path, *stamp]).encode() + b"\n"


def _entry(line: bytes) -> tuple[str, Stamp] | None:
    """A line of the file; None for one that was cut off."""
    try:
        path, changed_at, size = json.loads(line)
    except (ValueError, TypeError):
        return None
    return (path, Stamp(changed_at, size)) if isinstance(path, str) else None
