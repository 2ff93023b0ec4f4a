"""Loopback ports for servers that the tests start."""

from __future__ import annotations

import socket
from contextlib import ExitStack


def free_port() -> int:
    """A port that nobody listens on."""
    return free_ports(1)[0]


def free_ports(count: int, below: int = 65_536) -> list[int]:
    """Ports that nobody listens on; all held until the last is found, so that they differ."""
    ports: list[int] = []
    with ExitStack() as held:
        while len(ports) < count:
            probe = held.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 0))
            if (port := int(probe.getsockname()[1])) < below:
                ports.append(port)
    return ports
