"""Several looks at Redis at one moment."""

from __future__ import annotations

from typing import Any

import redis

from worker.stream.connection import Client, stream_errors


def read_at_once(client: Client, *commands: tuple[Any, ...]) -> list[Any]:
    """The raw replies to commands that only read, with nothing between them; error replies are among the replies.

    A Redis that is full refuses every transaction. Then they are sent in one go, which it also answers without a break
    unless the network parts them.
    """
    with stream_errors(), client.leaving_who_is_outdated():
        try:
            return client.pipelined(commands, transaction=True)
        except redis.OutOfMemoryError:
            return client.pipelined(commands, transaction=False)
