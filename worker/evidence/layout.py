"""Where evidence lies: the names of its folders and files, and ways to them that follow no link."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from worker.types import Encoding, Result

JSON = "json"
OVERLAY = "overlay.jpg"
LABEL_MAP = "label_map.png"
RAW = "raw"
ENDINGS = {Encoding.JPEG: "jpg", Encoding.PNG: "png", Encoding.WEBP: "webp", Encoding.BMP: "bmp"}
"""Of a frame's own file; a raw encoding has none."""

_FILE = re.compile(
    r"([0-9]{6}\.[0-9]{3}_(?:OK|NG|INVALID|LATE)_[0-9]+-[0-9]+)\.(json|overlay\.jpg|label_map\.png|jpg|png|webp|bmp|raw)"
)
_PART = re.compile(rf"\.{_FILE.pattern}\.part")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_CAMERA = re.compile(r"(?:%2E|[A-Za-z0-9_-])[A-Za-z0-9_.-]{0,63}")
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FOLDER_MODE, _FILE_MODE = 0o750, 0o640


def folder_name(name: str) -> str:
    """What the folder of a line or a camera is called: its name, in which only a leading dot is not taken as it is."""
    return "%2E" + name[1:] if name.startswith(".") else name


def day_of(at_ns: int) -> str:
    """The folder of a day, UTC, in unix nanoseconds."""
    return f"{datetime.fromtimestamp(at_ns / 1e9, UTC):%Y-%m-%d}"


def stem_of(result: Result, at_ns: int) -> str:
    """What the files of a result are called, committed at this time (unix nanoseconds)."""
    at = datetime.fromtimestamp(at_ns / 1e9, UTC)
    return f"{at:%H%M%S}.{at.microsecond // 1000:03}_{result.verdict}_{result.frame}"


def parts_of(file: str) -> tuple[str, str] | None:
    """Stem and ending of a file that is ours by its name, whole ones only; None: it is not."""
    match = _FILE.fullmatch(file)
    return (match[1], match[2]) if match else None


def is_part(file: str) -> bool:
    """Whether this names a file that is being written, or was when its worker was killed."""
    return _PART.fullmatch(file) is not None


def is_camera(folder: str) -> bool:
    """Whether a camera's evidence could be in a folder of this name."""
    return _CAMERA.fullmatch(folder) is not None


def is_day(folder: str) -> bool:
    """Whether a day's evidence could be."""
    return _DAY.fullmatch(folder) is not None


@contextmanager
def opened(top: Path, *names: str, make: bool = False) -> Iterator[int]:
    """A descriptor of `top/names…`. Only `top` may be a link, and it is never made: it may be a disk that is away.

    Raises:
        OSError: it cannot be opened or made; NotADirectoryError also for a link.
    """
    with ExitStack() as held:
        at = _held(held, os.open(top, _DIRECTORY))
        for name in names:
            at = _held(held, _open_in(at, name, make))
        yield at


def _open_in(at: int, name: str, make: bool) -> int:
    with suppress(FileNotFoundError):
        return os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
    if not make:
        raise FileNotFoundError(2, "No such folder", name)
    with suppress(FileExistsError):  # another worker was first
        os.mkdir(name, _FOLDER_MODE, dir_fd=at)
    return os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=at)


def _held(held: ExitStack, descriptor: int) -> int:
    held.callback(os.close, descriptor)
    return descriptor


def create(name: str, at: int) -> int:
    """A descriptor to write a new file in the folder `at`, or to write it anew; no link is followed."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(name, flags, _FILE_MODE, dir_fd=at)
