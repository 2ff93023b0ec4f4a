"""API keys: a file of names and hashes, and the ring of keys that is read from it.

A line is `NAME sha256:HEX`; empty lines and those that begin with # are left alone. The key itself stands nowhere.
Plain SHA-256 is right here: a key is 256 random bits, which no guessing finds however fast the hash is, so neither
salt nor a slow hash, which passwords need, would add anything but time to every request.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import stat
from pathlib import Path

import structlog

from worker.errors import SettingsError
from worker.settings.listed import NAME

log = structlog.get_logger()

_MAX_BYTES = 1 << 20
_LINE = re.compile(r"(?P<name>\S+)[ \t]+sha256:(?P<digest>[0-9a-f]{64})")
_ADVICE = "; `line-worker keys add NAME --file FILE` makes one"
_Seen = tuple[int, int, int, int]
"""Inode, size and times: one of them changes when the file does, or another one takes its place."""


class KeyRing:
    """Whose key is whose, as the file says now: it is looked at before every answer, and read again when it changed.

    While the file is missing, damaged, empty or cannot be read, nobody is let in, and the log says why. To go on with
    the keys of before would keep a revoked one alive for as long as nobody looks at the log.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._digests: dict[str, bytes] = {}
        self._seen: _Seen | None = None
        self._said = ""

    @classmethod
    def read(cls, path: Path) -> KeyRing:
        """The ring of a file.

        Raises:
            SettingsError: it is missing, empty, cannot be read, or a line is damaged, with its number.
        """
        ring = cls(path)
        ring._refresh()
        return ring

    def name_of(self, presented: str) -> str | None:
        """Whose key it is; None: nobody's. Takes as long for each."""
        try:
            self._refresh()
        except SettingsError as error:
            self._digests = {}
            self._say(str(error))
        digest = digest_of(presented)
        found = None
        for name, known in self._digests.items():  # all of them, so that the time does not tell whose it is
            if hmac.compare_digest(digest, known):
                found = name
        return found

    def _refresh(self) -> None:
        """Read the file if it is another than before."""
        before, self._seen = self._seen, None
        status = _look(self._path)
        seen = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        if seen == before:
            self._seen = seen
            return
        text = read_text(self._path)
        self._seen = seen  # what is wrong from here on is in the text, and another look at the same would find it again
        self._digests = _some(self._path, parse_keys(self._path, text))
        self._said = ""
        _warn_of_others(self._path, status.st_mode)
        log.info("the keys were read", file=str(self._path), keys=len(self._digests))

    def _say(self, what: str) -> None:
        if what != self._said:
            log.error("no key is taken until the file of keys is mended", error=what)
        self._said = what


def digest_of(key: str) -> bytes:
    """The hash of a key; whatever a client sends has one."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def line_of(name: str, key: str) -> str:
    """The line of a key in the file."""
    return f"{name} sha256:{digest_of(key).hex()}"


def parse_keys(path: Path, text: str) -> dict[str, bytes]:
    """Names and hashes of the text of a file, which may hold none.

    Raises:
        SettingsError: a line is damaged or names somebody twice; with its number, and not its content.
    """
    digests: dict[str, bytes] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        parts = _LINE.fullmatch(line.strip())
        if parts is None or not re.fullmatch(NAME, parts["name"]):
            raise _unusable(path, f"line {number} is damaged: each is a name and sha256:, then 64 hexadecimal digits")
        if parts["name"] in digests:
            raise _unusable(path, f"line {number} has the name of an earlier one, {parts['name']}")
        digests[parts["name"]] = bytes.fromhex(parts["digest"])
    return digests


def read_text(path: Path) -> str:
    """The text of a file of keys.

    Raises:
        SettingsError: it is missing, too large, no file, no text, or cannot be read.
    """
    _look(path)
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise _unusable(path, f"{error.strerror}{_ADVICE}") from None
    if len(data) > _MAX_BYTES:
        raise _unusable(path, f"is larger than {_MAX_BYTES:,} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _unusable(path, f"line {line} is damaged: it is no UTF-8") from None


def _some(path: Path, digests: dict[str, bytes]) -> dict[str, bytes]:
    if not digests:
        raise _unusable(path, f"holds no key{_ADVICE}")
    return digests


def _look(path: Path) -> os.stat_result:
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise _unusable(path, f"{getattr(error, 'strerror', error)}{_ADVICE}") from None
    if not stat.S_ISREG(status.st_mode):  # reading a pipe would hold up every request
        raise _unusable(path, "is no file")
    return status


def _warn_of_others(path: Path, mode: int) -> None:
    if mode & (stat.S_IROTH | stat.S_IWOTH | stat.S_IWGRP):
        log.warning(
            "others can read or write the file of keys: chmod 600 or 640", file=str(path), mode=f"{mode:o}"[-3:]
        )


def _unusable(path: Path, why: str) -> SettingsError:
    return SettingsError(f"gateway.keys_file {path}: {why}")
