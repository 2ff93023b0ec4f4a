"""Network cameras, against a server in a process of its own that is killed, frozen and started again."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ports import free_port

from worker.capture.context import Context
from worker.capture.open import SourceOptions, open_source
from worker.capture.outage import Backoff
from worker.capture.source import Picture, Source
from worker.errors import SourceError

from .conftest import Log

PASSWORD = "s3cret/@"
ESCAPED = "s3cret%2F%40"
SHOTS = SourceOptions(timeout_s=2, backoff=Backoff(0.05, 0.2))


class Camera:
    """A network camera that can be switched off and on again at the same address."""

    def __init__(self) -> None:
        self.port = free_port()
        self.process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"rtsp://admin:{ESCAPED}@127.0.0.1:{self.port}/main"

    def start(self) -> None:
        command = [sys.executable, str(Path(__file__).with_name("rtsp_server.py")), str(self.port), PASSWORD]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline().startswith("ready")

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None

    def freeze(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)


@pytest.fixture
def camera() -> Iterator[Camera]:
    camera = Camera()
    camera.start()
    yield camera
    camera.kill()


@pytest.fixture
def context(log: Log) -> Context:
    return Context(log=log)


@pytest.fixture
def source(camera: Camera, context: Context) -> Iterator[Source]:
    source = open_source(camera.url, SHOTS, context)
    yield source
    source.close()


def number(picture: Picture) -> int:
    """Which of twenty greys the server sent."""
    assert picture.image is not None
    assert picture.image.shape == (120, 160, 3)
    level = float(picture.image.mean())
    assert level == pytest.approx(10 * round(level / 10), abs=2)
    return round(level / 10)


def wait_for(log: Log, event: str) -> None:
    deadline = time.monotonic() + 10
    while event not in log.events():
        assert time.monotonic() < deadline, f"never said: {event}"
        time.sleep(0.02)


def test_a_camera_that_dies_is_reported_and_comes_back(
    camera: Camera, source: Source, context: Context, log: Log, capfd: pytest.CaptureFixture[str]
) -> None:
    pictures = iter(source)
    # FFmpeg has gathered about twenty before it gives the first, so that the second may be of the same grey.
    assert len({number(next(pictures)) for _ in range(3)}) > 1

    camera.kill()
    wait_for(log, "camera is away, trying until it is back")
    camera.start()
    wait_for(log, "camera is back")

    before = time.time_ns()
    while next(pictures).captured_at < before:
        pass
    assert context.tally["outages"] == 1
    assert len(log.lines) == 2
    assert log.lines[1][2]["away_s"] >= 0
    assert "s3cret" not in str(log.lines) + capfd.readouterr().err


def test_a_publisher_that_dawdles_gets_a_fresh_picture(source: Source, context: Context) -> None:
    pictures = iter(source)
    next(pictures)
    time.sleep(1)
    awake = time.time_ns()
    next(pictures)
    assert next(pictures).captured_at > awake - 0.5e9
    assert context.tally["skipped"] >= 10


def test_a_camera_that_falls_silent_is_an_outage(camera: Camera, source: Source, log: Log) -> None:
    next(iter(source))
    camera.freeze()
    wait_for(log, "camera is away, trying until it is back")  # OpenCV by itself waits for half a minute


def test_a_camera_that_accepts_and_says_nothing_does_not_hang(
    context: Context, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"rtsp://admin:s3cret@127.0.0.1:{mute.getsockname()[1]}/main"
        since = time.monotonic()
        with pytest.raises(SourceError, match="cannot be opened") as caught:
            next(iter(open_source(url, SourceOptions(timeout_s=0.5, reconnect=False), context)))
    assert time.monotonic() - since < 15  # OpenCV by itself waits for half a minute
    assert "s3cret" not in str(caught.value) + capfd.readouterr().err


def test_a_wrong_password_is_an_error_that_does_not_show_it(
    camera: Camera, context: Context, capfd: pytest.CaptureFixture[str]
) -> None:
    url = f"rtsp://admin:wr0ng@127.0.0.1:{camera.port}/main"
    with pytest.raises(SourceError, match=f"rtsp://127.0.0.1:{camera.port} cannot be opened") as caught:
        next(iter(open_source(url, SourceOptions(reconnect=False), context)))
    assert "wr0ng" not in str(caught.value) + capfd.readouterr().err


def test_stop_ends_it_soon_while_the_camera_hangs(camera: Camera, context: Context) -> None:
    source = open_source(camera.url, SourceOptions(timeout_s=60), context)
    pictures = iter(source)
    next(pictures)
    camera.freeze()
    since = time.monotonic()
    context.stop.set()
    assert list(pictures) == []
    source.close()
    assert time.monotonic() - since < 15
