"""Loopback ports for servers that the tests start."""

from __future__ import annotations

import socket
from contextlib import ExitStack


def free_port() -> int:
    """A port that nobody listens on."""
    return free_ports(1)[0]


def free_ports(count: int, second_at: int = 0) -> list[int]:
    """Ports that nobody listens on; all held until the last is found, so that they differ.

    With `second_at` the port so much above each is free too: a node of a Redis Cluster takes two.
    """
    ports: list[int] = []
    with ExitStack() as held:
        while len(ports) < count:
            probe = held.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
            if second_at and not _take(held, port + second_at):
                continue
            ports.append(port)
    return ports


def _take(held: ExitStack, port: int) -> bool:
    try:
        held.enter_context(socket.socket()).bind(("127.0.0.1", port))
    except (OSError, OverflowError):
        return False
    return True
