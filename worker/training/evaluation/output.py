"""Files of an evaluation: in a folder that takes them, beside nothing of the same name."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TextIO

from worker.errors import SettingsError

DOCUMENT, REPORT = "evaluation.json", "report.html"


def prepare(folder: Path) -> None:
    """Now, and not behind minutes of work, it must show that the files can be written there.

    Raises:
        SettingsError: they cannot, or one of them is there already.
    """
    try:
        there = [name for name in (DOCUMENT, REPORT) if os.path.lexists(folder / name)]
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise SettingsError(f"--output {folder}: nothing can be written there: {error.strerror}") from error
    if there:
        raise SettingsError(f"--output {folder}: {there[0]} is there already; name another folder or move it away")


def write_new(path: Path, text: str) -> None:
    """Write a file that is not there yet, whole or not at all.

    Raises:
        SettingsError: it is there, or the folder does not take it.
    """
    try:
        with path.open("x", encoding="utf-8") as file:
            _fill(path, file, text)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be written: {error.strerror}") from error


def _fill(path: Path, file: TextIO, text: str) -> None:
    try:
        file.write(text)
        file.flush()
    except OSError:
        with contextlib.suppress(OSError):
            path.unlink()
        raise
