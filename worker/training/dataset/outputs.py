"""The folder that a command writes to: it is new or empty, and not the data set's own."""

from __future__ import annotations

import tempfile
from pathlib import Path

from worker.errors import SettingsError


def keep_apart(output: Path, dataset: Path) -> None:
    """What is written must not become a part of what is read.

    Raises:
        SettingsError: the output lies in the data set's folder.
    """
    if output.resolve().is_relative_to(dataset.resolve()):
        raise SettingsError(f"--output {output}: it lies in the data set's own folder; name one outside")


def claim(output: Path, dataset: Path) -> None:
    """Make the folder, and see that something can be written there before minutes are spent on it.

    Raises:
        SettingsError: it lies in the data set's folder, is not empty, is no folder, or cannot be written to.
    """
    keep_apart(output, dataset)
    try:
        if output.is_dir() and any(output.iterdir()):
            raise SettingsError(f"--output {output}: it is not empty; name a new folder")
        output.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=output).close()
    except (OSError, ValueError) as error:
        raise unwritable(output, error) from error


def unwritable(output: Path, error: Exception) -> SettingsError:
    """What to say when something could not be written there."""
    return SettingsError(f"--output {output}: cannot be written: {getattr(error, 'strerror', None) or error}")
