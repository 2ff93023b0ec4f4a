"""Commands as the bytes that go to Redis."""

from __future__ import annotations

from typing import Any

import hiredis
import redis

_LARGE = 2**15
"""Bytes from which an argument is sent from where it lies: a copy costs more than one more call of the system."""


class CommandPacker:
    """Packs a command in C, in place of redis-py's packer, which makes each tuple of arguments by resizing a longer
    one: CPython keeps thousands of these for later use, so that a process grew by megabytes within its first hour.
    (So does `tuple` of a generator.)
    """

    def pack(self, *args: Any) -> list[bytes]:
        """The command's name, which may be several words, and its arguments, as chunks of bytes to send.

        Raises:
            redis.DataError: an argument is neither bytes, text nor a number.
        """
        command: list[Any] = [*args[0].split(), *args[1:]]
        is_large = [type(arg) is bytes and len(arg) >= _LARGE for arg in command]
        try:
            return _around_large(command, is_large) if True in is_large else [hiredis.pack_command(tuple(command))]
        except TypeError:
            return [_packed_from_views(command)]


def _packed_from_views(command: list[Any]) -> bytes:
    plain: list[Any] = [bytes(arg) if isinstance(arg, bytearray | memoryview) else arg for arg in command]
    try:
        packed: bytes = hiredis.pack_command(tuple(plain))
        return packed
    except TypeError as error:
        raise redis.DataError(str(error)) from error


def _around_large(command: list[Any], is_large: list[bool]) -> list[bytes]:
    """The same bytes as of `hiredis.pack_command`, in chunks: what is small is packed there, what is large is not."""
    chunks: list[bytes] = []
    head = b"*%d\r\n" % len(command)
    small: list[Any] = []
    for arg, large in zip(command, is_large, strict=True):
        if not large:
            small.append(arg)
            continue
        chunks += [head + _packed(small) + b"$%d\r\n" % len(arg), arg]
        head, small = b"\r\n", []
    return [*chunks, head + _packed(small)]


def _packed(args: list[Any]) -> bytes:
    """Arguments without the command's head, which counts them."""
    return hiredis.pack_command(tuple(args)).partition(b"\r\n")[2] if args else b""
