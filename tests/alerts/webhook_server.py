"""A receiver of webhooks: a real HTTP server in a thread."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver:
    """Keeps what it is sent; `answers` are given first, one a request, then 200. All say what was asked for."""

    def __init__(self, port: int = 0, answers: tuple[int, ...] = (), delay_s: float = 0) -> None:
        self.got: list[tuple[str, dict[str, Any]]] = []
        self.refused = 0
        answering = list(answers)
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                time.sleep(delay_s)
                status = answering.pop(0) if answering else 200
                if status == 200:
                    receiver.got.append((self.headers["Idempotency-Key"], json.loads(body)))
                else:
                    receiver.refused += 1
                self.send_response(status)
                said = f"cannot POST {self.path}".encode()
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}/hook?secret=abc"

    def __enter__(self) -> Receiver:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def keys(self) -> list[str]:
        return [key for key, _ in self.got]
