"""A TCP proxy before Redis that passes a request on and then cuts the connection in place of the answer."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType


class LossyProxy:
    """While `lose` is above 0, so many answers (to requests that hold `marker`) are lost, a connection each."""

    def __init__(self, port: int, marker: bytes = b"EVAL") -> None:
        self._upstream = port
        self._marker = marker
        self.lose = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> LossyProxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                down, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(down,), daemon=True).start()

    def _serve(self, down: socket.socket) -> None:
        with contextlib.suppress(OSError), down, socket.create_connection(("127.0.0.1", self._upstream)) as up:
            while request := down.recv(2**20):
                up.sendall(request)
                answer = up.recv(2**20)
                if self.lose > 0 and self._marker in request:
                    self.lose -= 1
                    return
                down.sendall(answer)
