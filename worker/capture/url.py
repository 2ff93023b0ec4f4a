"""The grammar of a source: one text that says where the pictures come from.

One of:
    parts/                      a folder, with all folders below, in natural order
    'parts/*.png'  part.jpg     a glob, one image
    line.mp4                    a video file
    rtsp://user:pass@cam/main   a network stream: rtsp, rtsps, http, https
    /dev/video0  0              a camera of this machine, by device or by index
    '0?width=1920&height=1080'  … told what to send: width, height, fps, fourcc (as in MJPG)
    test://?seed=1&count=100    generated parts: seed, size, count, cycle, fault (now and then; dark, as one of FAULTS)
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

from worker.errors import SourceError

STREAM_SCHEMES = ("rtsp", "rtsps", "http", "https")
SCHEMES = (*STREAM_SCHEMES, "test")
_EXAMPLES = "a folder, a glob, an image, a video, rtsp://…, http://…, /dev/video0, 0, test://"
_TEST_KEYS = {"seed": (0, 2**32 - 1), "size": (64, 4096), "count": (0, 10**9), "cycle": (24, 10**6)}
_CYCLE = 48  # as generated.Schedule has it
FAULTS = ("dark", "blown_out", "blurred", "frozen")
_DEVICE_KEYS = {"width": (16, 32_768), "height": (16, 32_768), "fps": (1, 1000)}


@dataclass(frozen=True, slots=True)
class FilesUrl:
    """A path or glob on this machine: a folder, images or one video."""

    path: str


@dataclass(frozen=True, slots=True)
class StreamUrl:
    """A network stream. `url` may hold a password; `label` does not and is the one for logs."""

    url: str
    label: str

    @property
    def has_password(self) -> bool:
        """Whether the URL itself holds a password before its host."""
        return urlsplit(self.url).password is not None

    def with_login(self, username: str, password: str) -> StreamUrl:
        """The same with this user and password in the place of what the URL has."""
        parts = urlsplit(self.url)
        who = f"{quote(username, safe='')}:{quote(password, safe='')}"
        return replace(self, url=urlunsplit(parts._replace(netloc=f"{who}@{parts.netloc.rpartition('@')[2]}")))


@dataclass(frozen=True, slots=True)
class DeviceUrl:
    """A camera of this machine: an index, or a path below /dev. What is 0 or empty is left to the camera."""

    device: int | str
    width: int = 0
    height: int = 0
    fps: int = 0
    fourcc: str = ""

    @property
    def label(self) -> str:
        """Its device file, for logs."""
        return self.device if isinstance(self.device, str) else f"/dev/video{self.device}"


@dataclass(frozen=True, slots=True)
class TestUrl:
    """Generated parts: `size` pixels a side, `count` of them (0: without end), the same for the same seed.

    Of every `cycle` parts five to seven are bad (see generated.Schedule).
    `fault` is what goes wrong with the camera now and then, one of FAULTS (see faults.py), or nothing.
    """

    __test__ = False  # pytest takes the name for a test otherwise

    seed: int = 0
    size: int = 256
    count: int = 0
    cycle: int = _CYCLE
    fault: str = ""


SourceUrl = FilesUrl | StreamUrl | DeviceUrl | TestUrl


def parse_source(text: str) -> SourceUrl:
    """Parse a source; touches neither files nor cameras.

    Raises:
        SourceError: the text is in none of the forms. A network URL is never quoted, it may hold a password.
    """
    text = text.strip()
    if not text or not text.isprintable():
        raise SourceError(f"the source is empty or not printable; give {_EXAMPLES}")
    if match := re.fullmatch(r"([0-9]{1,3}|/dev/[^?]+)(?:\?(.*))?", text):
        return _parse_device(match[1], match[2] or "")
    scheme, separator, _ = text.partition("://")
    if not separator or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme):
        return FilesUrl(text)
    if scheme.lower() == "test":
        return _parse_test(text)
    if scheme.lower() in STREAM_SCHEMES:
        return _parse_stream(text)
    raise SourceError(f"source {scheme}://… is not understood; the schemes are {', '.join(SCHEMES)}")


def show_source(source: SourceUrl) -> str:
    """The source as it may stand in a log: without user, password, path and query of a network URL.

    Cheap cameras take the password in the path or query, so nothing behind the host is shown.
    """
    match source:
        case FilesUrl(path):
            return path
        case TestUrl(seed, size, count, cycle, fault):
            own = (f"&cycle={cycle}" if cycle != _CYCLE else "") + (f"&fault={fault}" if fault else "")
            return f"test://?seed={seed}&size={size}&count={count}{own}"
        case _:
            return source.label


def looks_like_glob(path: str) -> bool:
    """Whether the path has wildcards and is not itself the name of something that exists."""
    return any(sign in path for sign in "*?[") and not Path(path).exists()


def _parse_stream(text: str) -> StreamUrl:
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or " " in text:
        scheme = text.partition("://")[0]
        raise SourceError(
            f"source {scheme}://… is not a URL with a host, as in rtsp://user:password@192.168.1.9:554/main; "
            "write / @ : # ? and % in a password as %2F %40 %3A %23 %3F and %25"
        )
    host = f"[{host}]" if ":" in host else host
    text = parts.scheme + text[len(parts.scheme) :]  # FFmpeg knows its protocols in lower case only
    return StreamUrl(text, f"{parts.scheme}://{host}" + (f":{port}" if port else ""))


def _parse_test(text: str) -> TestUrl:
    name, _, query = text.partition("://")[2].partition("?")
    # A name stands for a seed, so that test://left and test://right show different parts.
    seed = zlib.crc32(name.encode()) if name.strip("/") else 0
    values = parse_qsl(query, keep_blank_values=True)
    fault = dict(values).get("fault", "")
    if fault and fault not in FAULTS:
        raise SourceError(f"source test://: fault must be one of {', '.join(FAULTS)}, got {fault!r}")
    others = [(key, value) for key, value in values if key != "fault"]
    numbers = {"seed": seed} | _read_numbers("test://", others, _TEST_KEYS, "fault")
    return TestUrl(**numbers, fault=fault)


def _parse_device(device: str, query: str) -> DeviceUrl:
    values = parse_qsl(query, keep_blank_values=True)
    fourcc = dict(values).get("fourcc", "")
    if fourcc and not re.fullmatch(r"[A-Za-z0-9]{4}", fourcc):
        raise SourceError(f"source {device}: fourcc must be a format's four letters, as in MJPG, got {fourcc!r}")
    others = [(key, value) for key, value in values if key != "fourcc"]
    numbers = _read_numbers(device, others, _DEVICE_KEYS, "fourcc")
    return DeviceUrl(int(device) if device.isdigit() else device, fourcc=fourcc, **numbers)


def _read_numbers(
    where: str, values: list[tuple[str, str]], bounds: dict[str, tuple[int, int]], *others: str
) -> dict[str, int]:
    numbers = {}
    for key, value in values:
        if key not in bounds:
            allowed = ", ".join((*bounds, *others))
            raise SourceError(f"source {where}: there is no {key!r}; allowed are {allowed}")
        low, high = bounds[key]
        if not re.fullmatch(r"[0-9]{1,10}", value) or not low <= int(value) <= high:
            raise SourceError(f"source {where}: {key} must be a number from {low} to {high}, got {value!r}")
        numbers[key] = int(value)
    return numbers
