"""Room for files that processes map into memory, taken before they do."""

from __future__ import annotations

import os
from pathlib import Path

from worker.runtime.names import cannot_use


def reserve(file: Path, size: int) -> None:
    """Make the file so large, with its place on the disk.

    A file that is only as long as that has none until a page of it is written to; where the disk is full by then,
    the system kills the process that wrote (SIGBUS). What stands in the file stays.

    Raises:
        SettingsError: there is no such room.
    """
    try:
        with file.open("ab") as opened:
            os.posix_fallocate(opened.fileno(), 0, size)
    except OSError as error:
        raise cannot_use(file.parent, error) from error
