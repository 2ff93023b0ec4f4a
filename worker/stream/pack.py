"""Commands as the bytes that go to Redis."""

from __future__ import annotations

from typing import Any

import hiredis
import redis


class CommandPacker:
    """Packs a command in C, in place of redis-py's packer, which makes each tuple of arguments by resizing a longer
    one: CPython keeps thousands of these for later use, so that a process grew by megabytes within its first hour.
    """

    def pack(self, *args: Any) -> list[bytes]:
        """The command's name, which may be several words, and its arguments, as chunks of bytes to send.

        Raises:
            redis.DataError: an argument is neither bytes, text nor a number.
        """
        command = list(args[0].split())
        command += [bytes(arg) if isinstance(arg, bytearray | memoryview) else arg for arg in args[1:]]
        try:
            return [hiredis.pack_command(tuple(command))]
        except TypeError as error:
            raise redis.DataError(str(error)) from error
