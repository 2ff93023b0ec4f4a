"""What the tests of the stream share: a line on each server, its parts, and short names for their use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from worker.settings import Settings

from .line_of_frames import Line


@pytest.fixture
def line(each_settings: Settings) -> Iterator[Line]:
    """A line on each of the servers; whatever a test did to it, its books must agree at the end."""
    line = Line(each_settings)
    yield line
    assert line.books().difference == 0
    line.close()


@pytest.fixture
def one_line(settings: Settings) -> Iterator[Line]:
    """The same on one server, for what does not differ between them."""
    line = Line(settings)
    yield line
    assert line.books().difference == 0
    line.close()


@pytest.fixture
def limits() -> Iterator[Any]:
    """Sets options of the server and takes them back at the end."""
    undo = []

    def set_option(line: Line, name: str, value: str) -> None:
        before = line.do("CONFIG", "GET", name)[1]
        undo.append((line, name, before))
        line.do("CONFIG", "SET", name, value)

    yield set_option
    for line, name, before in reversed(undo):
        line.do("CONFIG", "SET", name, before)
