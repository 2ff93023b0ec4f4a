"""From a source's text to the source."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from worker.capture.camera import CameraSource, Capture, open_camera
from worker.capture.context import Context
from worker.capture.files import FilesSource, is_image, list_folder, list_glob
from worker.capture.outage import Backoff
from worker.capture.parts import PartsSource
from worker.capture.published import Published
from worker.capture.source import Source
from worker.capture.url import DeviceUrl, FilesUrl, StreamUrl, TestUrl, looks_like_glob, parse_source
from worker.capture.video import VideoSource
from worker.capture.watch import WatchedFolder
from worker.errors import SourceError


@dataclass(frozen=True, slots=True)
class Login:
    """Who asks a network camera for its pictures; the password is in a file."""

    username: str
    password_file: Path

    def password(self) -> str:
        """What the file holds, without the end of its line.

        Raises:
            SourceError: it cannot be read, or is empty.
        """
        try:
            password = self.password_file.read_text("utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "is no UTF-8 text"
            raise SourceError(f"password_file {self.password_file}: {why}") from None
        if not password:
            raise SourceError(f"password_file {self.password_file}: is empty")
        return password


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How a source behaves.

    `loop`: start again at the end of files or parts. `reconnect`: wait for a camera that is away.
    `timeout_s`: a network camera that says nothing for this long is away. `start`: number of the first
    generated part. `watched`: where the source is a folder, wait for new pictures in it, and keep in this file which
    were published. `login`: of a network camera.
    """

    loop: bool = False
    reconnect: bool = True
    timeout_s: float = 10.0
    start: int = 0
    watched: Path | None = None
    login: Login | None = None
    backoff: Backoff = field(default_factory=Backoff)

    def __post_init__(self) -> None:
        if not 0.1 <= self.timeout_s <= 300:
            raise SourceError(f"timeout must be from 0.1 to 300 seconds, got {self.timeout_s}")


def open_source(text: str, options: SourceOptions | None = None, context: Context | None = None) -> Source:
    """The source that `text` names (see url.py for its forms).

    Files are looked for and videos opened at once; cameras connect when iteration begins.

    Raises:
        SourceError: the text is not understood, or there is no such file or folder, or nothing in it.
    """
    options, context = options or SourceOptions(), context or Context()
    url = parse_source(text)
    if options.login and not isinstance(url, StreamUrl):
        raise SourceError("a user and password are for network cameras: rtsp, rtsps, http, https")
    if isinstance(url, FilesUrl):
        return _open_path(url.path, options, context)
    if isinstance(url, TestUrl):
        if options.loop and not url.count:
            raise SourceError("source test:// has no end to loop at; give it a count, as in test://?count=100")
        return PartsSource(url, options.start, options.loop, context)
    if options.loop:
        raise SourceError(f"camera {url.label} has no end to loop at; loop is for files, videos and test://")
    open_capture = partial(_open_camera, url, options)
    return CameraSource(open_capture, url.label, options.backoff if options.reconnect else None, context)


def _open_camera(url: StreamUrl | DeviceUrl, options: SourceOptions) -> Capture:
    if options.login and isinstance(url, StreamUrl):  # read at each try, so that a new password needs no restart
        url = url.with_login(options.login.username, options.login.password())
    return open_camera(url, options.timeout_s)


def _open_path(text: str, options: SourceOptions, context: Context) -> Source:
    loop, path = options.loop, Path(text).expanduser()
    if looks_like_glob(str(path)):
        return FilesSource(list_glob(str(path)), loop, context)
    if path.is_dir() and options.watched:
        return WatchedFolder(path, Published(options.watched), options.reconnect, context)
    if path.is_dir():
        return FilesSource(list_folder(path), loop, context)
    if not path.exists():
        raise SourceError(f"there is no file or folder {text}; a network camera begins with rtsp:// or http://")
    if is_image(path):
        return FilesSource([path], loop, context)
    return VideoSource(path, loop, context)
