"""Live cameras, on the network or at this machine: always the newest picture, and back after every outage."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Protocol

import cv2

from worker.capture.context import Context
from worker.capture.outage import Backoff, Outage, retry
from worker.capture.source import BgrImage, Picture
from worker.capture.url import DeviceUrl, StreamUrl
from worker.errors import SourceError

_CLOSE_PATIENCE_S = 2.0
_STOP_POLL_S = 0.2


class Capture(Protocol):
    """What is used of cv2.VideoCapture."""

    def isOpened(self) -> bool: ...  # noqa: N802
    def grab(self) -> bool: ...
    def retrieve(self) -> tuple[bool, Any]: ...
    def release(self) -> None: ...


def open_camera(url: StreamUrl | DeviceUrl, timeout_s: float) -> Capture:
    """Open a camera through OpenCV; look at `isOpened` for success.

    The backend is named: with any backend allowed, OpenCV tries an image sequence too, and prints the whole
    URL, password included, when that fails. One decoding thread: FFmpeg otherwise decodes as many pictures
    ahead as there are cores, and a live picture would come that much later.

    Raises:
        SourceError: a camera of this machine gives another size than it was asked for.
    """
    # OpenCV's warnings at each try would repeat what is reported here once an outage.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    if isinstance(url, DeviceUrl):
        return _open_device(url)
    timeout_ms = round(timeout_s * 1000)
    parameters = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, timeout_ms, cv2.CAP_PROP_READ_TIMEOUT_MSEC, timeout_ms]
    return cv2.VideoCapture(url.url, cv2.CAP_FFMPEG, [*parameters, cv2.CAP_PROP_N_THREADS, 1])


def _open_device(url: DeviceUrl) -> Capture:
    # V4L2 gives up a silent device after 10 s by itself. The format goes first: it limits sizes and rates.
    capture = cv2.VideoCapture(url.device, cv2.CAP_V4L2)
    if url.fourcc:
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*url.fourcc))
    sides = {cv2.CAP_PROP_FRAME_WIDTH: url.width, cv2.CAP_PROP_FRAME_HEIGHT: url.height}
    for name, value in (sides | {cv2.CAP_PROP_FPS: url.fps}).items():
        if value:
            capture.set(name, value)
    given = [round(capture.get(name)) for name in sides]
    if capture.isOpened() and any(side not in (0, got) for side, got in zip(sides.values(), given, strict=True)):
        capture.release()
        raise SourceError(
            f"camera {url.label} gives {given[0]}x{given[1]}, not {url.width or 'any'}x{url.height or 'any'}; "
            "`v4l2-ctl --list-formats-ext` lists what it can, larger sizes often with fourcc=MJPG only"
        )
    return capture


class Newest:
    """A place for one picture between two threads: a newer one replaces one that was not taken yet."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._picture: Picture | None = None
        self._ended = False
        self._error: Exception | None = None

    def put(self, picture: Picture) -> bool:
        """Leave a picture; True where it replaced one."""
        with self._changed:
            replaced = self._picture is not None
            self._picture = picture
            self._changed.notify()
        return replaced

    def end(self, error: Exception | None = None) -> None:
        """No more pictures, because of `error` if given."""
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify()

    def take(self, stop: threading.Event) -> Picture | None:
        """Wait for a picture; None after `stop` or the end.

        Raises:
            Exception: the one that `end` was given.
        """
        with self._changed:
            while self._picture is None and not self._ended and not stop.is_set():
                self._changed.wait(_STOP_POLL_S)
            if stop.is_set():
                return None
            picture, self._picture = self._picture, None
        if picture is None and self._error is not None:
            raise self._error
        return picture


class CameraSource:
    """A thread reads the camera at its own pace and keeps the newest picture only, so no latency builds up.

    What a slow publisher misses is counted as skipped. A camera that cannot be opened, stops sending or falls
    silent is reported and tried again with `backoff` until it is back; without one it ends the iteration with
    SourceError instead. An outage ends with the first picture, not with the connection: a
    camera that accepts and then says nothing would seem to come and go.
    """

    def __init__(
        self, open_capture: Callable[[], Capture], label: str, backoff: Backoff | None, context: Context
    ) -> None:
        self._open_capture, self._label, self._backoff = open_capture, label, backoff
        self._context = replace(context, log=context.log.bind(source=label))
        self._outage = Outage("camera", "outages", self._context)
        self._newest = Newest()
        self._closing = threading.Event()
        # A daemon: a thread that hangs in a camera's driver must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name=f"camera {label}", daemon=True)

    def __iter__(self) -> Iterator[Picture]:
        self._thread.start()
        while (picture := self._newest.take(self._context.stop)) is not None:
            yield picture

    def close(self) -> None:
        """Stop reading. A camera that hangs in a read for two more seconds is left to its time-out."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(_CLOSE_PATIENCE_S)

    def _run(self) -> None:
        try:
            while not self._closing.is_set():
                self._read_until_lost(self._connect())
        except SourceError as error:
            self._newest.end(None if self._closing.is_set() else error)
        except Exception as error:
            self._newest.end(error)
        else:
            self._newest.end()

    def _connect(self) -> Capture:
        if self._backoff is None:
            return self._try_connect()
        return retry(self._try_connect, SourceError, self._outage, self._backoff, self._closing)

    def _try_connect(self) -> Capture:
        capture = self._open_capture()
        try:
            if not capture.isOpened():
                raise SourceError(f"camera {self._label} cannot be opened: is it on, and address and password right?")
            if not self._read(capture):
                raise SourceError(f"camera {self._label} is connected but sends no picture")
        except BaseException:
            capture.release()
            raise
        return capture

    def _read_until_lost(self, capture: Capture) -> None:
        try:
            while not self._closing.is_set():
                if not self._read(capture):
                    self._lose(SourceError(f"camera {self._label} stopped sending pictures"))
                    return
        finally:
            capture.release()

    def _lose(self, error: SourceError) -> None:
        if self._backoff is None:
            self._context.tally.add("outages")
            raise error
        self._outage.begin(error)

    def _read(self, capture: Capture) -> bool:
        """Read one picture and leave it for the publisher; False where there was none."""
        if not capture.grab():
            return False
        captured_at = self._context.clock.time_ns()  # before the conversion to BGR, which takes its time too
        there, image = capture.retrieve()
        if not there or image is None:
            return False
        self._put(image, captured_at)
        return True

    def _put(self, image: BgrImage, captured_at: int) -> None:
        if self._newest.put(Picture(captured_at, "", image=image)):
            self._context.tally.add("skipped")
