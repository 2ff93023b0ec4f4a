"""What the capture tests share."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pytest

from worker.capture.context import Context
from worker.errors import StreamUnavailable
from worker.types import Frame


class FakeClock:
    """Time that passes only where someone waits."""

    def __init__(self) -> None:
        self.now = 1000.0

    def time_ns(self) -> int:
        return int(self.now * 1e9)

    def monotonic(self) -> float:
        return self.now

    def wait(self, seconds: float, stop: threading.Event) -> None:
        self.now += seconds


@dataclass
class Answer:
    status: str = "accepted"
    evicted: int = 0


@dataclass
class Recorder:
    """A publisher that keeps what it gets; the first calls fail with `failures`."""

    failures: list[Exception] = field(default_factory=list)
    answer: Answer = field(default_factory=Answer)
    frames: list[Frame] = field(default_factory=list)
    calls: list[Frame] = field(default_factory=list)

    def __call__(self, frame: Frame, stop: threading.Event) -> Answer:
        self.calls.append(frame)
        if self.failures:
            raise self.failures.pop(0)
        self.frames.append(frame)
        return self.answer


@dataclass
class Log:
    """A logger that keeps its lines as (level, event, fields)."""

    lines: list[tuple[str, str, dict]] = field(default_factory=list)

    def bind(self, **_fields: object) -> Log:
        return self

    def info(self, event: str, **fields: object) -> None:
        self.lines.append(("info", event, fields))

    def warning(self, event: str, **fields: object) -> None:
        self.lines.append(("warning", event, fields))

    def error(self, event: str, **fields: object) -> None:
        self.lines.append(("error", event, fields))

    def events(self) -> list[str]:
        return [event for _, event, _ in self.lines]


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def context(log: Log) -> Context:
    return Context(log=log, clock=FakeClock())


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


def away() -> StreamUnavailable:
    return StreamUnavailable("Redis cannot be reached")


def write_image(path: Path, level: int = 100, width: int = 40, height: int = 30) -> bytes:
    """Write a plain grey image; returns its bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((height, width, 3), level, np.uint8))
    return path.read_bytes()


def write_video(path: Path, levels: range) -> Path:
    """Write an MJPG video of plain grey pictures."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (64, 48))
    assert writer.isOpened()
    for level in levels:
        writer.write(np.full((48, 64, 3), level, np.uint8))
    writer.release()
    return path
