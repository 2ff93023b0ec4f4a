"""Names for workers: the same after every restart, and no two alive on one host with the same one."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import FileIO
from itertools import count
from pathlib import Path

from worker.devices import Device
from worker.errors import SettingsError

_IN_MEMORY = Path("/dev/shm")  # noqa: S108
_FIRST_ORDINARY_USER = 1_000


@dataclass(frozen=True, slots=True)
class Pool:
    """The names of a supervisor's workers, the file that each worker locks while it lives, and an empty folder for
    their progress and metrics."""

    names: list[str]
    locks: list[Path]
    folder: Path


def home() -> Path:
    """Where this user's pools are: below TMPDIR where that is set, else in memory, which no full disk touches.

    Of an ordinary user's files in memory systemd leaves none at logout, so theirs are in /tmp.
    """
    given = os.environ.get("TMPDIR")
    if given:
        base = Path(given)
    elif os.getuid() < _FIRST_ORDINARY_USER and os.access(_IN_MEMORY, os.W_OK | os.X_OK):
        base = _IN_MEMORY
    else:
        base = Path("/tmp")  # noqa: S108
    return base / f"line-worker-{os.getuid()}"


@contextmanager
def claim_pool(line: str, devices: Sequence[Device]) -> Iterator[Pool]:
    """`host:device:slot` for each device, held while the context lasts.

    A worker that takes a dead one's name goes on with the frames that it left. Two living workers of one name
    would take each other's, so a second supervisor of the same line and devices gets the next free slots. The
    system lets go of a name when its supervisor dies, however it dies; the folder it left is used again.

    Raises:
        SettingsError: the folder for the locks belongs to somebody else, or cannot be made.
    """
    base = home()
    with ExitStack() as held:
        try:
            base.mkdir(mode=0o700, exist_ok=True)
            if base.is_symlink() or base.stat().st_uid != os.getuid():
                raise SettingsError(f"{base} is not ours: remove it, or set TMPDIR to a folder of your own")
            claims = [_claim(held, base, line, device, first) for first, device in enumerate(devices)]
            names, locks = [name for name, _ in claims], [lock for _, lock in claims]
            folder = _fresh_folder(held, base / f"{line}@{names[0]}.pool")
        except OSError as error:
            raise cannot_use(base, error) from error
        yield Pool(names, locks, folder)


def cannot_use(folder: Path, error: OSError) -> SettingsError:
    """What to say where a pool's folder or a file in it cannot be had."""
    return SettingsError(f"{folder}: {error.strerror or error}; make room there, or set TMPDIR to a folder elsewhere")


def _claim(held: ExitStack, base: Path, line: str, device: Device, first: int) -> tuple[str, Path]:
    for slot in count(first):
        name = f"{socket.gethostname()}:{device}:{slot}"
        path = base / f"{line}@{name}.lock"
        file = FileIO(path, "a")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
        else:
            held.enter_context(file)
            return name, path
    raise AssertionError("count() has no end")


def _fresh_folder(held: ExitStack, path: Path) -> Path:
    folder = path.with_name(path.name.replace(":", "_"))  # it stands in a list of paths, parted by colons
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    held.callback(shutil.rmtree, folder, ignore_errors=True)
    # systemd clears what lies in /tmp untouched for days, except where somebody holds a lock.
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    held.callback(os.close, lock)
    fcntl.flock(lock, fcntl.LOCK_EX)
    return folder
