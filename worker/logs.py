"""Structured logs on standard error: readable on a terminal, one JSON object a line elsewhere."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from pathlib import Path
from typing import TextIO

import structlog

from worker.plain import plain
from worker.settings import LogSettings


def configure(settings: LogSettings, **context: str) -> None:
    """Set logging up for this process; `context` (process, device …) stands on every line."""
    stream = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115 - there is none where the caller closed it
    console = settings.format == "console" or (settings.format == "auto" and stream.isatty())
    renderer: structlog.types.Processor = (
        structlog.dev.ConsoleRenderer() if console else structlog.processors.JSONRenderer()
    )
    processors: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    processors.append(_made_plain if console else structlog.processors.format_exc_info)
    structlog.configure(
        processors=[*processors, _bound(context), renderer],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, settings.level.upper())),
        logger_factory=lambda *_: _Lossy(stream),
        cache_logger_on_first_use=False,
    )


class _Lossy:
    """Writes lines, and lets go of those that cannot be written: a full disk or a closed pipe must end no inspection.

    One write call a line, so that the lines of several processes in one file stay whole.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def msg(self, message: str) -> None:
        # ValueError: the file is closed.
        with contextlib.suppress(OSError, ValueError):
            self._file.write(message + "\n")
            self._file.flush()

    log = debug = info = warn = warning = error = critical = exception = fatal = msg


def _made_plain(_logger: object, _method: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    """What others say, cameras and receivers of alerts among them, does not steer the terminal."""
    return {name: plain(value) if isinstance(value, str) else value for name, value in event.items()}


def _bound(context: dict[str, str]) -> structlog.types.Processor:
    def add(_logger: object, _method: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
        return {**context, **event}

    return add
