"""What the log looks like."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
import structlog

from worker import logs
from worker.settings import LogSettings

HOSTILE = "\x1b]0;title\x07\x1b[2J\nnext"


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def test_on_a_terminal_what_others_say_does_not_steer_it(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(LogSettings(format="console"), process="alerts")
    structlog.get_logger().error(f"alert raised: {HOSTILE}", camera=HOSTILE, count=3)
    (said,) = capsys.readouterr().err.splitlines()
    assert re.sub("\x1b\\[[0-9;]*m", "", said).isprintable()  # but for the colours that are our own


def test_elsewhere_an_event_is_a_json_object_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(LogSettings(format="auto"), process="alerts")
    structlog.get_logger().error("alert raised", camera=HOSTILE)
    (said,) = capsys.readouterr().err.splitlines()
    told = json.loads(said)
    assert (told["event"], told["camera"], told["process"]) == ("alert raised", HOSTILE, "alerts")
