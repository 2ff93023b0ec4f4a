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
            return _send(client, commands, transaction=True)
        except redis.OutOfMemoryError:
            return _send(client, commands, transaction=False)


def _send(client: Client, commands: tuple[tuple[Any, ...], ...], *, transaction: bool) -> list[Any]:
    with client.pipeline(transaction=transaction) as pipeline:
        pipeline.response_callbacks = client.response_callbacks
        for command in commands:
            pipeline.execute_command(*command)  # type: ignore[no-untyped-call]
        return list(pipeline.execute(raise_on_error=False))
