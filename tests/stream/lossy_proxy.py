"""A TCP proxy before Redis that passes a request on and then cuts the connection in place of the answer."""

from __future__ import annotations

import socket

from .proxy import Proxy


class LossyProxy(Proxy):
    """While `lose` is above 0, so many answers (to requests that hold `marker`) are lost, a connection each; the first
    `spare` of them pass."""

    def __init__(self, port: int, marker: bytes = b"EVAL") -> None:
        self._marker = marker
        self.spare = self.lose = 0
        super().__init__(port)

    def _carry(self, down: socket.socket, up: socket.socket) -> None:
        while request := down.recv(2**20):
            up.sendall(request)
            answer = up.recv(2**20)
            if self.lose > 0 and self._marker in request:
                if self.spare == 0:
                    self.lose -= 1
                    return
                self.spare -= 1
            down.sendall(answer)
