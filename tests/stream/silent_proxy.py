"""A TCP proxy before Redis that can fall silent: connections stay open, and nothing comes through any more."""

from __future__ import annotations

import contextlib
import socket
import threading

from .proxy import Proxy


class SilentProxy(Proxy):
    """While silent, it accepts connections and reads nothing from them; what it had in hand is swallowed for good."""

    def __init__(self, port: int) -> None:
        self._speaking = threading.Event()
        self._speaking.set()
        super().__init__(port)

    def __exit__(self, *error: object) -> None:
        self.speak()
        super().__exit__(*error)

    def fall_silent(self) -> None:
        """From now on nothing comes through, in either direction, and no connection is closed."""
        self._speaking.clear()

    def speak(self) -> None:
        """Serve new connections again; those that were open meanwhile are cut."""
        self._speaking.set()

    def _carry(self, down: socket.socket, up: socket.socket) -> None:
        back = threading.Thread(target=self._pump, args=(up, down), daemon=True)
        back.start()
        self._pump(down, up)
        back.join()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(2**16):
                if not self._speaking.is_set():
                    self._speaking.wait()
                    break
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
