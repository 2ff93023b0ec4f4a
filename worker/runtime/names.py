"""Names for workers: the same after every restart, and no two alive on one host with the same one."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import FileIO
from itertools import count
from pathlib import Path

from worker.devices import Device
from worker.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Pool:
    """The names of a supervisor's workers, and an empty folder for their progress and metrics."""

    names: list[str]
    folder: Path


@contextmanager
def claim_pool(line: str, devices: Sequence[Device]) -> Iterator[Pool]:
    """`host:device:slot` for each device, held while the context lasts.

    A worker that takes a dead one's name goes on with the frames that it left. Two living workers of one name
    would take each other's, so a second supervisor of the same line and devices gets the next free slots. The
    system lets go of a name when its supervisor dies, however it dies; the folder it left is used again.

    Raises:
        SettingsError: the folder for the locks belongs to somebody else.
    """
    home = Path(tempfile.gettempdir()) / f"line-worker-{os.getuid()}"
    home.mkdir(mode=0o700, exist_ok=True)
    if home.is_symlink() or home.stat().st_uid != os.getuid():
        raise SettingsError(f"{home} is not ours: remove it, or set TMPDIR to a folder of your own")
    with ExitStack() as held:
        names = [_claim(held, home, line, device, first) for first, device in enumerate(devices)]
        folder = home / f"{line}@{names[0]}.pool".replace(":", "_")  # it stands in a list of paths, parted by colons
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        held.callback(shutil.rmtree, folder, ignore_errors=True)
        yield Pool(names, folder)


def _claim(held: ExitStack, home: Path, line: str, device: Device, first: int) -> str:
    for slot in count(first):
        name = f"{socket.gethostname()}:{device}:{slot}"
        file = FileIO(home / f"{line}@{name}.lock", "a")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
        else:
            held.enter_context(file)
            return name
    raise AssertionError("count() has no end")
