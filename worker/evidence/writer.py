"""Writing evidence: a record whole or not at all, and never the last of a disk's room."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from contextlib import suppress
from itertools import repeat
from pathlib import Path

from worker.evidence.layout import create, day_of, folder_name, opened, stem_of
from worker.evidence.record import Record, contents
from worker.settings import EvidenceSettings, LimitSettings

_WRITE_FROM = 1 / 2  # of evidence.min_free_bytes: between it and the whole the oldest makes room
_AGAIN_FROM = 3 / 4  # once it was below that
_TRIES = 3
_CHUNK = 2**16
_CHECK = ".check.part"  # the same for all workers: what a killed one left goes with the next one's


class Writer:
    """Writes the evidence of one line into its folder, from one thread."""

    def __init__(self, settings: EvidenceSettings, folder: Path, line: str, limits: LimitSettings) -> None:
        self._folder = folder
        self._line = line
        self._limits = limits
        self._min_free = settings.min_free_bytes

    def write(self, record: Record) -> None:
        """Write a record's files; nothing of it stays where that fails.

        Each is written under a name that says that it is not whole, and gets its own when all are; the JSON last.

        Raises:
            OSError: they cannot be written, or too little of the disk is free.
        """
        self._check_room(_WRITE_FROM)
        stem = stem_of(record.result, record.at)
        files = {f"{stem}.{ending}": data for ending, data in contents(record, self._line, self._limits).items()}
        place = folder_name(self._line), folder_name(record.result.camera), day_of(record.at)
        for tries_left in reversed(range(_TRIES)):
            try:
                with opened(self._folder, *place, make=True) as day:
                    _write_all(files, day)
                return
            except FileNotFoundError:  # an empty folder was cleared away in between, unless the uppermost is gone
                if not tries_left:
                    raise

    def check(self, size: int, *, again: bool = False) -> None:
        """Find out whether so many bytes can be written, by doing it.

        Args:
            again: after they could not; then more of the disk must be free, so that it does not change all the time.

        Raises:
            OSError: they cannot, or too little of the disk is free.
        """
        self._check_room(_AGAIN_FROM if again else _WRITE_FROM)
        with opened(self._folder, folder_name(self._line), make=True) as line:
            try:
                _write(_CHECK, repeat(bytes(_CHUNK), -(-size // _CHUNK)), line)
            finally:
                with suppress(OSError):
                    os.unlink(_CHECK, dir_fd=line)

    def _check_room(self, share: float) -> None:
        disk = os.statvfs(self._folder)
        if self._min_free and disk.f_bavail * disk.f_frsize < self._min_free * share:
            raise OSError(errno.ENOSPC, f"less than {share:.0%} of evidence.min_free_bytes is free", str(self._folder))


def _write_all(files: dict[str, bytes], folder: int) -> None:
    done: list[str] = []
    try:
        for name, data in files.items():
            done.append(_part(name))
            _write(_part(name), [data], folder)
        for name in files:
            os.rename(_part(name), name, src_dir_fd=folder, dst_dir_fd=folder)
            done.append(name)
    except OSError:
        for name in done:
            with suppress(OSError):
                os.unlink(name, dir_fd=folder)
        raise


def _write(name: str, pieces: Iterable[bytes], folder: int) -> None:
    with open(create(name, folder), "wb", buffering=0) as file:  # noqa: PTH123 - by its descriptor
        for piece in pieces:
            view = memoryview(piece)
            while view:
                view = view[file.write(view) or 0 :]


def _part(name: str) -> str:
    return f".{name}.part"
