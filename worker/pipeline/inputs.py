"""What `predict` takes, taken apart: arrays, files, URLs, folders, dicts and lists of all these, one picture at a time.

What cannot be read is told of that one picture; the others go on.
"""

from __future__ import annotations

import io
import os
import re
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
from PIL import Image as PillowImage

from worker.errors import ImageError, SourceError
from worker.inference.decode import decode
from worker.settings import LimitSettings
from worker.types import Encoding, Frame, Image

_SUFFIXES = (".bmp", ".dib", ".jpeg", ".jpg", ".png", ".webp", ".pbm", ".pgm", ".ppm", ".pnm", ".ras", ".sr")
_PAGED = (".tif", ".tiff")
_PDF = ".pdf"
_IN_FOLDERS = (*_SUFFIXES, *_PAGED, _PDF)  # what PaddleX looks at in a folder; a PDF is told of, not passed over
_FETCHED_WITHIN_S = 20.0
_SHOWN = 60


@dataclass(frozen=True)
class Source:
    """One picture to be read. `input_path` is its file or URL, None for an array; `page` counts in a TIFF of several.

    `problem` is what is wrong with it, where that is known before it is read.
    """

    name: str
    limits: LimitSettings
    input_path: str | None = None
    page: int | None = None
    array: np.ndarray[Any, Any] | None = None
    problem: str = ""

    def read(self) -> Image:
        """The picture, H×W×3, RGB, uint8.

        Raises:
            SourceError, ImageError: naming the picture and what is wrong.
        """
        try:
            return self._read()
        except ImageError as error:
            raise ImageError(error.reason, f"{self.name}: {error}") from error

    def _read(self) -> Image:
        if self.problem:
            raise SourceError(f"{self.name}: {self.problem}")
        if self.array is not None:
            return _from_array(self.array)
        data = self._bytes()
        encoding = Encoding.of(data)
        if encoding is not None:
            return decode(Frame(camera="pipeline", data=data, encoding=encoding), self.limits)
        return _by_opencv(data, self.page, self.limits)

    def _bytes(self) -> bytes:
        assert self.input_path is not None
        if _is_url(self.input_path):
            return self._fetched  # once: another time it may be another picture
        try:
            return _regular_file(Path(self.input_path), self.limits.max_bytes)
        except OSError as error:
            raise SourceError(f"{self.name}: {error.strerror}") from error
        except ValueError as error:  # a path with a null byte
            raise SourceError(f"{self.name!r}: {error}") from error

    @cached_property
    def _fetched(self) -> bytes:
        assert self.input_path is not None
        return _from_url(self.input_path, self.limits.max_bytes)


def sources(given: Any, limits: LimitSettings) -> Iterator[Source]:
    """Each picture in what was given, in its order; folders by the paths of their files, to their leaves."""
    match given:
        case Source():
            yield given
        case np.ndarray():
            # A copy: it is read later, when whoever gave it may have the next picture in the same memory.
            yield Source(f"array of shape {given.shape}", limits, array=given.copy())
        case str() | Path():
            yield from _of_path(str(given), limits)
        case Mapping():
            yield from _of_mapping(given, limits)
        case bytes() | bytearray() | memoryview():
            yield Source("bytes", limits, problem="give a file's path, or its pixels as an array")
        case Iterable():
            for one in given:
                yield from sources(one, limits)
        case _:
            kinds = "a numpy array, a path, a URL, a folder, a dict with `img`, or a list of these"
            yield Source(f"{given!r:.{_SHOWN}}", limits, problem=f"a {type(given).__name__}, but wanted is {kinds}")


def _of_mapping(given: Mapping[Any, Any], limits: LimitSettings) -> Iterator[Source]:
    if list(given) == ["img"]:
        yield from sources(given["img"], limits)
    else:
        keys = ", ".join(map(repr, given))
        yield Source(f"dict with {keys}"[:_SHOWN], limits, problem="a dict holds its picture under the one key `img`")


def _of_path(path: str, limits: LimitSettings) -> Iterator[Source]:
    if _is_url(path):
        suffix = Path(re.split("[?#]", path)[0]).suffix.lower()
        yield Source(path, limits, path, problem=_no_pdf(suffix))
    elif os.path.isdir(path):  # noqa: PTH112 - PaddleX's paths are texts, and keep their form in `input_path`
        yield from _of_folder(path, limits)
    else:
        yield from _of_file(path, limits)


def _of_folder(folder: str, limits: LimitSettings) -> Iterator[Source]:
    closed: list[OSError] = []
    found = [
        os.path.join(root, name)  # noqa: PTH118
        for root, _, names in os.walk(folder, onerror=closed.append)
        for name in names
        if name.lower().endswith(_IN_FOLDERS) and not name.startswith("._")
    ]
    if not found:
        yield Source(
            folder, limits, folder, problem=f"no picture is in this folder; wanted {', '.join(_IN_FOLDERS[:-1])}"
        )
    for path in sorted(found):
        yield from _of_file(path, limits)


def _of_file(path: str, limits: LimitSettings) -> Iterator[Source]:
    suffix = Path(path).suffix.lower()
    pages = _pages(path) if suffix in _PAGED else 1
    for page in range(pages):
        number = page if suffix in _PAGED else None
        name = f"{path}, page {page}" if pages > 1 else path
        yield Source(name, limits, path, page=number, problem=_no_pdf(suffix))


def _pages(path: str) -> int:
    """How many pages a TIFF has; 1 where it cannot be read, which shows when it is."""
    try:
        return max(1, cv2.imcount(path, cv2.IMREAD_COLOR))
    except cv2.error:
        return 1


def _no_pdf(suffix: str) -> str:
    return "a PDF is no picture; give its pages as images" if suffix == _PDF else ""


def _is_url(text: str) -> bool:
    return text.lower().startswith(("http://", "https://"))


def _from_array(array: np.ndarray[Any, Any]) -> Image:
    """Blue, green, red as OpenCV and PaddleX have arrays; grey and with an alpha channel too."""
    if array.dtype != np.uint8:
        raise ImageError("bad_array", f"its values are {array.dtype}; wanted is uint8, 0 to 255")
    channels = 1 if array.ndim == 2 else array.shape[-1] if array.ndim == 3 else 0
    turns = {1: cv2.COLOR_GRAY2RGB, 3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGB}
    if channels not in turns or not array.size:
        raise ImageError("bad_array", "wanted is H×W, or H×W with 1, 3 (BGR) or 4 (BGRA) channels, and not empty")
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(array), turns[channels]), np.uint8)


def _regular_file(path: Path, max_bytes: int) -> bytes:
    if not stat.S_ISREG(path.stat().st_mode):  # a pipe or a device may have no end
        raise ImageError("not_an_image", "no regular file")
    with path.open("rb") as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise ImageError("too_large", f"more than {max_bytes} bytes; limits.max_bytes (LINE_LIMITS__MAX_BYTES)")
    return data


def _by_opencv(data: bytes, page: int | None, limits: LimitSettings) -> Image:
    """A format that no camera sends and PaddleX takes: TIFF, PNM and the like. Its header is looked at before it is
    decoded."""
    no_picture = ImageError("not_an_image", f"no picture that can be read; it begins with {data[:12]!r}")
    try:
        with PillowImage.open(io.BytesIO(data)) as header:
            count = getattr(header, "n_frames", 1)
            header.seek(page or 0)
            width, height = header.size
    except PillowImage.DecompressionBombError as error:
        raise ImageError("too_large", str(error)) from error
    except (OSError, ValueError, SyntaxError, EOFError):
        raise no_picture from None
    if page is None and count > 1:
        raise ImageError("unsupported", f"{count} pictures in one file; of a TIFF that is named so each is inspected")
    if width * height > limits.max_pixels:
        raise ImageError("too_large", f"{width}×{height} pixels; limits.max_pixels is {limits.max_pixels}")
    if min(width, height) < limits.min_side:
        raise ImageError("too_small", f"{width}×{height} pixels; limits.min_side is {limits.min_side}")
    try:
        first = page or 0
        done, pages = cv2.imdecodemulti(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB, range=(first, first + 1))
    except cv2.error:
        raise no_picture from None
    if not done or not pages:
        raise no_picture
    return np.asarray(pages[0], np.uint8)


def _from_url(url: str, max_bytes: int) -> bytes:
    """What is there, within a time that counts for all of it."""
    deadline = time.monotonic() + _FETCHED_WITHIN_S
    try:
        with httpx.stream("GET", url, timeout=_FETCHED_WITHIN_S / 2, follow_redirects=True) as answer:
            answer.raise_for_status()
            data = bytearray()
            for piece in answer.iter_bytes():
                data += piece
                if len(data) > max_bytes:
                    raise ImageError("too_large", f"more than {max_bytes} bytes; limits.max_bytes")
                if time.monotonic() > deadline:
                    raise SourceError(f"{url}: cannot be fetched: not all of it came within {_FETCHED_WITHIN_S:g} s")
            return bytes(data)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise SourceError(f"{url}: cannot be fetched: {error or type(error).__name__}") from error
