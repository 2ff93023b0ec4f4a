"""A TCP proxy before Redis that can fall silent: connections stay open, and nothing comes through any more."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType


class SilentProxy:
    """While `deaf`, it accepts connections and reads nothing from them; what it had in hand is swallowed for good."""

    def __init__(self, port: int) -> None:
        self._upstream = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._speaking = threading.Event()
        self._speaking.set()
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> SilentProxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.speak()
        self._listener.close()

    def fall_silent(self) -> None:
        """From now on nothing comes through, in either direction, and no connection is closed."""
        self._speaking.clear()

    def speak(self) -> None:
        """Serve new connections again; those that were open meanwhile are cut."""
        self._speaking.set()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                down, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(down,), daemon=True).start()

    def _serve(self, down: socket.socket) -> None:
        with contextlib.suppress(OSError), down, socket.create_connection(("127.0.0.1", self._upstream)) as up:
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
