"""What evidence of a line is there: bytes by camera and day, counted anew only where something has changed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

from worker.evidence.layout import folder_name, is_camera, is_day, is_part, opened, parts_of

_BLOCK = 4096  # a file takes whole ones of these
_SETTLED_NS = 2_000_000_000  # a folder's time has steps: what changed within the last one is not yet to be relied on
_LEFT_AFTER_S = 600.0  # a half-written file of a worker that was killed


@dataclass(frozen=True, slots=True, order=True)
class Day:
    """One camera's folder of a day. They are in order of the day, and the oldest comes first."""

    name: str
    camera: str


def size_on_disk(stat: os.stat_result) -> int:
    """The bytes that a file takes, in whole blocks: many small ones take more than is in them."""
    return -(-stat.st_size // _BLOCK) * _BLOCK


def is_recent(stat: os.stat_result, within_s: float) -> bool:
    """Whether a file was written within so many seconds. One of the future was not: the clock was put back since."""
    return abs(time.time() - stat.st_mtime) < within_s


class Inventory:
    """Knows the days in the folder of a line. Files that are not ours by their names are not seen at all."""

    def __init__(self, folder: Path, line: str) -> None:
        self._folder = folder
        self._line = folder_name(line)
        self._known: dict[Day, tuple[int, int]] = {}  # the folder's time, and bytes
        self.trouble = ""

    def count(self) -> dict[Day, int]:
        """Bytes of each day. Also deletes what killed workers have left half-written.

        Raises:
            OSError: the line's folder cannot be read, or a disk fails.
        """
        self.trouble = ""
        found = {day: self._bytes(day) for day in self._days()}
        self._known = {day: known for day, known in self._known.items() if day in found}
        return found

    @contextmanager
    def passing_over(self) -> Iterator[None]:
        """Pass over what is gone, and what we have no right to: `trouble` names the last of that, until the next count.

        One folder that somebody else has put there must not keep all others from being swept.
        """
        try:
            yield
        except (FileNotFoundError, NotADirectoryError):
            pass
        except PermissionError as error:
            self.trouble = str(error)

    def open(self, day: Day) -> AbstractContextManager[int]:
        """A descriptor of the day's folder, see `opened`."""
        return opened(self._folder, self._line, day.camera, day.name)

    def remove_if_empty(self, day: Day) -> None:
        """Remove the folder of a day, and of its camera, where nothing is in it; the line's own stays."""
        with suppress(OSError):  # something is in it
            with opened(self._folder, self._line, day.camera) as camera:
                os.rmdir(day.name, dir_fd=camera)
            with opened(self._folder, self._line) as line:
                os.rmdir(day.camera, dir_fd=line)

    def _days(self) -> Iterator[Day]:
        with opened(self._folder, self._line) as line:
            for camera in _folders(line):
                if is_camera(camera):
                    with self.passing_over(), opened(self._folder, self._line, camera) as at:
                        yield from [Day(name, camera) for name in _folders(at) if is_day(name)]

    def _bytes(self, day: Day) -> int:
        size = 0
        with self.passing_over(), self.open(day) as folder:
            changed = os.fstat(folder).st_mtime_ns
            known = self._known.get(day)
            if known and known[0] == changed:
                return known[1]
            settled = time.time_ns() - changed > _SETTLED_NS
            size, is_whole = _count(folder)
            if settled and is_whole:
                self._known[day] = changed, size
        return size


def _folders(at: int) -> list[str]:
    with os.scandir(at) as entries:
        return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]


def _count(folder: int) -> tuple[int, bool]:
    """Bytes of our files in it, after what is half-written and old was deleted, and whether nothing of that stays."""
    size, is_whole = 0, True
    with os.scandir(folder) as entries:
        for entry in entries:
            half = is_part(entry.name)
            if not half and not parts_of(entry.name):
                continue
            with suppress(FileNotFoundError):  # deleted by somebody
                stat = entry.stat(follow_symlinks=False)
                if not S_ISREG(stat.st_mode):
                    continue
                if half and not is_recent(stat, _LEFT_AFTER_S):
                    os.unlink(entry.name, dir_fd=folder)
                    continue
                is_whole = is_whole and not half
                size += size_on_disk(stat)
    return size, is_whole
