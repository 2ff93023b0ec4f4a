"""A receiver of webhooks: a real HTTP server in a thread."""

from __future__ import annotations

import json
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Server(ThreadingHTTPServer):
    """One that does not mind who hangs up, or does not trust its certificate."""

    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Say nothing."""


class Receiver:
    """Keeps what it is sent; `answers` are given first, one a request, then 200. All say what was asked for.

    `requests` are the headers, with lower-case names, and the bodies of all; `tls` makes it an https server.
    """

    def __init__(
        self, port: int = 0, answers: tuple[int, ...] = (), delay_s: float = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        self.got: list[tuple[str, dict[str, Any]]] = []
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.refused = 0
        answering = list(answers)
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.requests.append((headers, body))
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

        self._server = Server(("127.0.0.1", port), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.port = self._server.server_port
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}/hook?secret=abc"

    def __enter__(self) -> Receiver:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def keys(self) -> list[str]:
        return [key for key, _ in self.got]
