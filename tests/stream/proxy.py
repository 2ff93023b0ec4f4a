"""A TCP proxy before Redis; what it does to the bytes is for its kinds to say."""

from __future__ import annotations

import contextlib
import socket
import threading
from abc import ABC, abstractmethod
from typing import Self


class Proxy(ABC):
    """Connects each client of its `url` with the Redis on port `upstream` of this machine; a context manager."""

    def __init__(self, upstream: int) -> None:
        self._upstream = upstream
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                down, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(down,), daemon=True).start()

    def _serve(self, down: socket.socket) -> None:
        with contextlib.suppress(OSError), down, socket.create_connection(("127.0.0.1", self._upstream)) as up:
            self._carry(down, up)

    @abstractmethod
    def _carry(self, down: socket.socket, up: socket.socket) -> None:
        """Carry bytes between the client (`down`) and the server (`up`) until one of them ends."""
