"""Image files: one, a glob, or a folder with all below it, in natural order."""

from __future__ import annotations

import glob
import os
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from worker.capture.context import Context
from worker.capture.source import Picture
from worker.errors import SourceError
from worker.types import Encoding

MAX_FILE_BYTES = 256 * 2**20

# By suffix; None: read, but not an encoding that travels.
IMAGE_SUFFIXES: dict[str, Encoding | None] = {
    ".jpg": Encoding.JPEG,
    ".jpeg": Encoding.JPEG,
    ".png": Encoding.PNG,
    ".webp": Encoding.WEBP,
    ".bmp": Encoding.BMP,
    ".tif": None,
    ".tiff": None,
}


def is_image(path: Path) -> bool:
    """Whether the file has an image's suffix. Hidden files are none: copying tools leave such litter."""
    return _names_image(path.name)


def _names_image(name: str) -> bool:
    return name[:1] != "." and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122 (of very many names)


def natural_key(path: Path) -> tuple[tuple[tuple[str | int, ...], str], ...]:
    """Sorts `part2` before `part10`, folder by folder."""
    return tuple(_split_numbers(name) for name in path.parts)


def _split_numbers(name: str) -> tuple[tuple[str | int, ...], str]:
    # Text and digits alternate, text first, so equal places hold the same type; the name itself breaks ties.
    pieces = re.split(r"([0-9]+)", name.casefold())
    return tuple(int(piece) if place % 2 else piece for place, piece in enumerate(pieces)), name


def image_paths(folder: Path) -> Iterator[str]:
    """The images in a folder and below it, in no order; not in hidden folders or links to folders. There may be very
    many: making a `Path` of each would take longest.

    Raises:
        SourceError: a folder is not there or may not be read.
    """

    def refuse(error: OSError) -> None:
        raise SourceError(f"folder {error.filename}: cannot be read: {error.strerror}") from error

    for place, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (os.path.join(place, name) for name in names if _names_image(name))  # noqa: PTH118 (as said above)


def list_folder(folder: Path) -> list[Path]:
    """The images in a folder and below it, in natural order.

    Raises:
        SourceError: there are none, or a folder may not be read.
    """
    return _in_order([*map(Path, image_paths(folder))], f"folder {folder}")


def list_glob(pattern: str) -> list[Path]:
    """The images that a glob matches (`**` goes into folders), in natural order.

    Raises:
        SourceError: there are none.
    """
    paths = map(Path, glob.glob(pattern, recursive=True))  # noqa: PTH207 (Path.glob takes no absolute pattern)
    return _in_order([path for path in paths if is_image(path) and path.is_file()], f"glob {pattern}")


def _in_order(paths: list[Path], where: str) -> list[Path]:
    if not paths:
        raise SourceError(f"{where}: no images; files must end in {', '.join(IMAGE_SUFFIXES)}")
    return sorted(paths, key=natural_key)


class FilesSource:
    """Image files as they are: their own bytes, undecoded.

    Undecodable bytes go the same way, since the line dead-letters them with a reason. A file that cannot be
    read at all is logged, counted as unreadable and passed over.
    """

    def __init__(self, paths: Sequence[Path], loop: bool, context: Context) -> None:
        self._paths, self._loop, self._context = paths, loop, context

    def __iter__(self) -> Iterator[Picture]:
        while True:
            readable = False
            for path in self._paths:
                if self._context.stop.is_set():
                    return
                picture = read_picture(path, self._context)
                if picture is not None:
                    readable = True
                    yield picture
            if not readable:
                raise SourceError(f"none of {len(self._paths)} files can be read, {self._paths[0]} for one")
            if not self._loop:
                return

    def close(self) -> None:
        """Nothing is held open between pictures."""


def read_picture(path: Path, context: Context) -> Picture | None:
    """The file's own bytes; None where it cannot be read, which is logged and counted as unreadable."""
    try:
        _check_readable(path)
        data = path.read_bytes()
    except OSError as error:
        context.log.warning("file cannot be read, passed over", file=str(path), error=error.strerror)
        context.tally.add("unreadable")
        return None
    encoding = Encoding.of(data) or IMAGE_SUFFIXES[path.suffix.lower()]
    return Picture(context.clock.time_ns(), path.stem, data=data, encoding=encoding)


def _check_readable(path: Path) -> None:
    """Raise OSError for what is no file (a pipe would be waited for without end) or would fill the memory."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(0, "not a regular file")
    if status.st_size > MAX_FILE_BYTES:
        raise OSError(0, f"{status.st_size} bytes; images of at most {MAX_FILE_BYTES} are read")
