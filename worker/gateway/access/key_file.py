"""Making and revoking API keys: changes to the file that `keys` reads."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from worker.errors import SettingsError
from worker.gateway.access.keys import line_of, parse_keys, read_text
from worker.settings.listed import NAME

_KEY_BYTES = 32
_PREFIX = "lw_"  # tells people, and those who search texts for secrets, what it is


def add_key(path: Path, name: str) -> str:
    """Make a key, add its hash to the file, which is made where it is missing, and return the key.

    Raises:
        SettingsError: the name is none or taken, a line is damaged, or the file cannot be written and is as it was.
    """
    if not re.fullmatch(NAME, name):
        raise SettingsError(f"{name!r} is no key's name: 1 to 64 of A-Za-z0-9_.-")
    key = _PREFIX + secrets.token_urlsafe(_KEY_BYTES)
    with _locked(path) as file:
        text = read_text(file) if file.exists() else ""
        if name in parse_keys(file, text):
            raise SettingsError(f"{path} has a key {name} already: choose another name, or remove that one first")
        gap = "\n" if text and not text.endswith("\n") else ""
        _replace(file, f"{text}{gap}{line_of(name, key)}\n")
    return key


def remove_key(path: Path, name: str) -> int:
    """Take a key's line out of the file; the number of keys that are left.

    Raises:
        SettingsError: there is no such key, a line is damaged, or the file cannot be written and is as it was.
    """
    with _locked(path) as file:
        text = read_text(file)
        keys = parse_keys(file, text)
        if name not in keys:
            raise SettingsError(f"{path} has no key {name!r}; `line-worker keys list` shows those that it has")
        _replace(file, "\n".join(line for line in text.split("\n") if line.split()[:1] != [name]))
    return len(keys) - 1


def key_names(path: Path) -> list[str]:
    """The names in the file, in its order.

    Raises:
        SettingsError: it is missing, cannot be read, or a line is damaged.
    """
    return list(parse_keys(path, read_text(path)))


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[Path]:
    """The file itself, where `path` is a link to it, while nobody else changes it.

    The folder is what is locked: the file is replaced, and a lock on it would be one on a file that is gone.
    """
    try:
        file = path.resolve()
        folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    except (OSError, ValueError) as error:
        raise _unwritten(path, error) from error
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield file
        os.fsync(folder)
    except OSError as error:
        raise _unwritten(path, error) from error
    finally:
        os.close(folder)


def _replace(file: Path, text: str) -> None:
    """Put a file with this text in the place of the old one, which stays whole if that fails."""
    descriptor, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)  # with mode 0600
    new = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as stream:
            _keep_rights(descriptor, file)
            stream.write(text)
            stream.flush()
            os.fsync(descriptor)
        new.replace(file)
    except BaseException:
        with contextlib.suppress(OSError):
            new.unlink()
        raise


def _keep_rights(descriptor: int, file: Path) -> None:
    """Those of the file before: the service that reads it often runs as somebody else than who makes the keys."""
    try:
        old = file.stat()
    except FileNotFoundError:
        return
    new = os.fstat(descriptor)
    if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
        os.fchown(descriptor, old.st_uid, old.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(old.st_mode))


def _unwritten(path: Path, error: Exception) -> SettingsError:
    return SettingsError(f"{path} cannot be changed: {getattr(error, 'strerror', None) or error}")
