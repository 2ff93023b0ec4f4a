"""The tree of errors: what scripts rely on."""

from __future__ import annotations

import inspect
import re

import pytest

from worker import errors
from worker.errors import FieldError, FrameError, ImageError, LineError

ALL = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, LineError)]


@pytest.mark.parametrize("kind", ALL)
def test_every_error_is_drawn_in_the_tree_at_the_top_of_the_file(kind: type[LineError]) -> None:
    assert re.search(rf"\b{kind.__name__}\b", errors.__doc__ or "")


@pytest.mark.parametrize("kind", ALL)
def test_every_error_ends_a_command_with_a_code_that_says_failure(kind: type[LineError]) -> None:
    assert 0 < kind.exit_code < 126  # beyond lies what shells use for signals


@pytest.mark.parametrize("kind", [FrameError, FieldError, ImageError])
def test_a_frame_error_carries_the_reason_of_its_dead_letter(kind: type[FrameError]) -> None:
    error = kind("too_small", "1×1 pixels")
    assert (error.reason, str(error)) == ("too_small", "1×1 pixels")
