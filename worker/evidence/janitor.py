"""Keeping a line's evidence within its limits of age, size and free disk: the oldest goes first."""

from __future__ import annotations

import fcntl
import heapq
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import groupby
from pathlib import Path
from stat import S_ISREG

import structlog

from worker.evidence.inventory import Day, Inventory, is_recent, size_on_disk
from worker.evidence.layout import JSON, create, day_of, folder_name, opened, parts_of
from worker.settings import EvidenceSettings

log = structlog.get_logger()

_LOCK = ".janitor.lock"
_SLACK = 0.05  # of a limit: deleted beyond it, so that not every sweep has to delete
_YOUNG_S = 60.0  # such a file may be one of a record that is just being written
_AT_ONCE = 20_000  # files: what a sweep holds in memory, however many there are
_DAY_NS = 86_400_000_000_000

File = tuple[str, bool, str, Day]
"""Stem, whether it is not the JSON (which goes first: where it stands, all of the record does), ending, folder."""

_FIRST: File = ("", False, "", Day("", ""))


class Janitor:
    """Deletes evidence of one line. Any number may be at work on a folder, on one machine: one at a time sweeps."""

    def __init__(self, settings: EvidenceSettings, folder: Path, line: str) -> None:
        self._settings = settings
        self._folder = folder
        self._line = folder_name(line)
        self._inventory = Inventory(folder, line)

    @property
    def is_short(self) -> bool:
        """Whether less of the disk is free than should be.

        Raises:
            OSError: the folder is not there.
        """
        return self._missing() > 0

    @property
    def trouble(self) -> str:
        """What the last sweep had no right to read or delete, and so passed over; empty where there was none."""
        return self._inventory.trouble

    def sweep(self, now_ns: int) -> int | None:
        """Delete what is beyond the limits; the bytes that are there then. None where another janitor is at work.

        Args:
            now_ns: unix nanoseconds.

        Raises:
            OSError: the folder is not there, or its disk fails.
        """
        with self._alone() as alone:
            if not alone:
                return None
            days = self._inventory.count()
            self._remove_empty(days, day_of(now_ns))
            deleted = self._delete_old(days, now_ns)
            total = sum(days.values()) - deleted
            if (excess := self._excess(total)) > 0:
                deleted += self._delete_oldest(sorted(days), excess)
                total = sum(days.values()) - deleted
            if deleted:
                log.info("evidence deleted", bytes=deleted, bytes_left=total)
            return total

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        """The line's folder, locked: the system lets go of it when a janitor dies."""
        with opened(self._folder, self._line, make=True) as line:
            lock = create(_LOCK, line)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
            finally:
                os.close(lock)

    def _remove_empty(self, days: dict[Day, int], today: str) -> None:
        for day in [day for day, size in days.items() if not size and day.name != today]:
            self._inventory.remove_if_empty(day)

    def _delete_old(self, days: dict[Day, int], now_ns: int) -> int:
        if not self._settings.keep_days:
            return 0
        kept_from = day_of(now_ns - self._settings.keep_days * _DAY_NS)
        return self._delete_oldest([day for day in sorted(days) if day.name < kept_from], None)

    def _excess(self, total: int) -> float:
        """How many bytes are to go."""
        limit = self._settings.max_bytes
        over = total - limit * (1 - _SLACK) if limit and total > limit else 0
        missing = self._missing()
        return max(over, missing + self._settings.min_free_bytes * _SLACK if missing > 0 else 0)

    def _missing(self) -> int:
        disk = os.statvfs(self._folder)
        return self._settings.min_free_bytes - disk.f_bavail * disk.f_frsize

    def _delete_oldest(self, days: Iterable[Day], wanted: float | None) -> int:
        """Delete so many bytes, whole records, or all (None); how many it were. `days` in order."""
        freed = 0
        for _, group in groupby(days, key=lambda day: day.name):
            if wanted is not None and freed >= wanted:
                break
            freed += self._delete_in(list(group), None if wanted is None else wanted - freed)
        return freed

    def _delete_in(self, folders: Sequence[Day], wanted: float | None) -> int:
        """The same within the folders of one day, across cameras."""
        freed, after = 0, _FIRST
        while files := heapq.nsmallest(_AT_ONCE, self._files(folders, after)):
            for _, record in groupby(files, key=lambda file: file[0]):
                if wanted is not None and freed >= wanted:
                    return freed
                freed += self._delete([*record])
            after = files[-1]
        return freed

    def _files(self, folders: Sequence[Day], after: File) -> Iterator[File]:
        """Our files that come after this one."""
        for day in folders:
            with self._inventory.passing_over(), self._inventory.open(day) as folder, os.scandir(folder) as entries:
                for entry in entries:
                    if parts := parts_of(entry.name):
                        stem, ending = parts
                        if (file := (stem, ending != JSON, ending, day)) > after:
                            yield file

    def _delete(self, record: Sequence[File]) -> int:
        """The bytes that it freed: none where somebody was first, or something of it is too young to be touched."""
        freed = 0
        with self._inventory.passing_over(), self._inventory.open(record[0][3]) as folder:
            found = {name: stat for name in map(_name, record) if (stat := _stat(name, folder))}
            if any(is_recent(stat, _YOUNG_S) for stat in found.values()):
                return 0
            for name, stat in found.items():
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=folder)
                    freed += size_on_disk(stat)
        return freed


def _name(file: File) -> str:
    return f"{file[0]}.{file[2]}"


def _stat(name: str, folder: int) -> os.stat_result | None:
    """None where it is gone, or is no plain file and so none of ours."""
    with suppress(FileNotFoundError):
        stat = os.stat(name, dir_fd=folder, follow_symlinks=False)
        return stat if S_ISREG(stat.st_mode) else None
    return None
