"""Live cameras, with a scripted capture in place of OpenCV's."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
import pytest

from worker.capture.camera import CameraSource, Newest, open_camera
from worker.capture.context import Context
from worker.capture.open import SourceOptions, open_source
from worker.capture.outage import Backoff
from worker.capture.source import Picture
from worker.capture.url import DeviceUrl
from worker.errors import SourceError

from .conftest import Log

FAST = Backoff(0.001, 0.002)


@dataclass
class Script:
    """A camera that opens as told and gives so many pictures each time; `pace` is called before each."""

    sessions: list[int | None]  # pictures until it stops sending; None: cannot be opened
    pace: Callable[[], object] = lambda: None
    left: int = 0
    opened: bool = False
    released: int = 0
    given: int = 0
    dry: threading.Event = field(default_factory=threading.Event)

    def open(self) -> Script:
        session = self.sessions.pop(0) if self.sessions else None
        if not self.sessions:
            self.dry.set()
        self.opened, self.left = session is not None, session or 0
        return self

    def isOpened(self) -> bool:  # noqa: N802
        return self.opened

    def grab(self) -> bool:
        self.pace()
        self.left -= 1
        return self.left >= 0

    def retrieve(self) -> tuple[bool, object]:
        self.given += 1
        return True, np.full((4, 4, 3), self.given, np.uint8)

    def release(self) -> None:
        self.released += 1


def number(picture: Picture) -> int:
    assert picture.image is not None
    return int(picture.image[0, 0, 0])


def test_a_slow_taker_gets_the_newest_picture_and_the_rest_is_counted(context: Context, log: Log) -> None:
    given, go_on = threading.Event(), threading.Event()

    def pace() -> None:
        if script.given == 1:
            go_on.wait(5)  # until the first picture is taken
        if script.given == 50:
            given.set()
            go_on.clear()
            go_on.wait(5)

    script = Script([1000], pace)
    source = CameraSource(script.open, "cam", None, context)
    pictures = iter(source)
    assert number(next(pictures)) == 1
    go_on.set()
    assert given.wait(5)
    assert number(next(pictures)) == 50
    source._closing.set()
    go_on.set()
    source.close()
    assert context.tally["skipped"] == 48


def test_outages_are_told_once_and_end_with_the_first_picture(context: Context, log: Log) -> None:
    gate = threading.Semaphore(0)
    script = Script([None, None, 1, None, 0, 0, 1, 1000], pace=lambda: gate.acquire(timeout=0.05))
    source = CameraSource(script.open, "cam", FAST, context)
    pictures = iter(source)
    got = [number(next(pictures)) for _ in range(3)]
    source.close()
    assert got == [1, 2, 3]
    assert context.tally["outages"] == 3
    assert log.events()[:6] == ["camera is away, trying until it is back", "camera is back"] * 3
    assert script.released == 8  # each capture was let go of, the unopened ones too


def test_without_retry_a_camera_that_cannot_be_opened_is_an_error(context: Context) -> None:
    with pytest.raises(SourceError, match="cam cannot be opened"):
        next(iter(CameraSource(Script([None]).open, "cam", None, context)))


def test_without_retry_a_camera_that_stops_is_an_error_after_its_last_picture(context: Context) -> None:
    got: list[Picture] = []
    with pytest.raises(SourceError, match="stopped sending"):
        got.extend(CameraSource(Script([3]).open, "cam", None, context))
    assert number(got[-1]) == 3
    assert context.tally["outages"] == 1


def test_stop_ends_a_wait_for_a_camera_that_is_away(context: Context) -> None:
    script = Script([None, None])
    source = CameraSource(script.open, "cam", Backoff(60, 60), context)
    threading.Timer(0.1, context.stop.set).start()
    assert list(source) == []
    source.close()
    assert not source._thread.is_alive()


def test_an_unforeseen_failure_is_not_swallowed(context: Context) -> None:
    def fail() -> Script:
        raise RuntimeError("driver")

    with pytest.raises(RuntimeError, match="driver"):
        next(iter(CameraSource(fail, "cam", FAST, context)))


def test_a_camera_index_that_does_not_exist(context: Context, log: Log) -> None:
    with pytest.raises(SourceError, match="/dev/video97 cannot be opened"):
        next(iter(open_source("97", SourceOptions(reconnect=False), context)))
    source = open_source("97", SourceOptions(backoff=FAST), context)
    threading.Timer(0.2, context.stop.set).start()
    assert list(source) == []
    source.close()
    assert context.tally["outages"] == 1
    assert log.events() == ["camera is away, trying until it is back"]


def test_the_newest_replaces_what_was_not_taken() -> None:
    newest = Newest()
    assert not newest.put(Picture(1, "a"))
    assert newest.put(Picture(2, "b"))
    newest.end()
    taken = newest.take(threading.Event())
    assert taken is not None
    assert taken.name == "b"
    assert newest.take(threading.Event()) is None


class _Snapshots(BaseHTTPRequestHandler):
    """Motion JPEG over HTTP, as simple cameras serve it; three pictures a connection."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
        self.end_headers()
        for level in (50, 100, 150):
            data = cv2.imencode(".jpg", np.full((48, 64, 3), level, np.uint8))[1].tobytes()
            head = f"--next\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
            self.wfile.write(head.encode() + data + b"\r\n")

    def log_message(self, *_: object) -> None:
        pass


def test_motion_jpeg_over_http_is_read(context: Context) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Snapshots) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        options = SourceOptions(timeout_s=3, reconnect=False)
        source = open_source(f"http://127.0.0.1:{server.server_port}/video", options, context)
        picture = next(iter(source))
        source.close()
        server.shutdown()
    assert picture.image is not None
    assert round(float(picture.image.mean())) in {50, 100, 150}


class _Stubborn:
    """A device that takes no size but its own."""

    def __init__(self, *_: object) -> None:
        self.asked: dict[int, float] = {}

    def isOpened(self) -> bool:  # noqa: N802
        return True

    def set(self, name: int, value: float) -> bool:
        self.asked[name] = value
        return True

    def get(self, name: int) -> float:
        return {cv2.CAP_PROP_FRAME_WIDTH: 640.0, cv2.CAP_PROP_FRAME_HEIGHT: 480.0}[name]

    def release(self) -> None:
        pass


def test_a_device_that_gives_another_size_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", _Stubborn)
    with pytest.raises(SourceError, match="gives 640x480, not 1920xany"):
        open_camera(DeviceUrl(0, width=1920), 1)
    capture = open_camera(DeviceUrl(0, width=640, height=480, fps=30, fourcc="MJPG"), 1)
    assert isinstance(capture, _Stubborn)
    assert list(capture.asked) == [
        cv2.CAP_PROP_FOURCC,
        cv2.CAP_PROP_FRAME_WIDTH,
        cv2.CAP_PROP_FRAME_HEIGHT,
        cv2.CAP_PROP_FPS,
    ]
