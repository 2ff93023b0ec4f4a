"""Names for workers: the same after every restart, and no two alive on one host with the same one."""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from io import FileIO
from itertools import count
from pathlib import Path

from worker.devices import Device
from worker.errors import SettingsError


@contextmanager
def worker_names(line: str, devices: Sequence[Device]) -> Iterator[list[str]]:
    """`host:device:slot` for each device, held while the context lasts.

    A worker that takes a dead one's name goes on with the frames that it left. Two living workers of one name
    would take each other's, so a second supervisor of the same line and devices gets the next free slots. The
    system lets go of a name when its supervisor dies, however it dies.

    Raises:
        SettingsError: the folder for the locks belongs to somebody else.
    """
    folder = Path(tempfile.gettempdir()) / f"line-worker-names-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise SettingsError(f"{folder} is not ours: remove it, or set TMPDIR to a folder of your own")
    with ExitStack() as held:
        yield [_claim(held, folder, line, device, first) for first, device in enumerate(devices)]


def _claim(held: ExitStack, folder: Path, line: str, device: Device, first: int) -> str:
    for slot in count(first):
        name = f"{socket.gethostname()}:{device}:{slot}"
        file = FileIO(folder / f"{line}@{name}", "a")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
        else:
            held.enter_context(file)
            return name
    raise AssertionError("count() has no end")
