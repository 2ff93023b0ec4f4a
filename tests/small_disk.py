"""A disk that is soon full: a small tmpfs that only one process and its children see."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

_MOUNT = 'mount -t tmpfs -o size="$1" none "$0" && shift && exec "$@"'
_WAYS = (["unshare", "--mount"], ["unshare", "--mount", "--map-root-user"])


def on_small_disk(folder: Path, size: str) -> list[str]:
    """What to put before a command, so that `folder` is a disk of this size for it, as in `16m`.

    The test is skipped where the system does not let us mount, neither as root nor in a namespace of our own.
    """
    folder.mkdir(exist_ok=True)
    for way in _WAYS:
        prefix = [*way, "sh", "-c", _MOUNT, str(folder), size]
        if subprocess.run([*prefix, "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0:
            return prefix
    pytest.skip("a tmpfs cannot be mounted here, neither as root nor in a user namespace")


def as_seen_by(pid: int, folder: Path) -> Path:
    """The same folder as this process sees it."""
    return Path(f"/proc/{pid}/root{folder}")


def fill(folder: Path) -> Path:
    """Leave not a byte; the file that takes it all."""
    filler = folder / "filler"
    descriptor = os.open(filler, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        for size in (2**16, 2**12, 1):
            while True:
                try:
                    os.write(descriptor, bytes(size))
                except OSError:
                    break
    finally:
        os.close(descriptor)
    return filler
