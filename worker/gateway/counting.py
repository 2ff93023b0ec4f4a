"""Counts requests and their time, around the whole application."""

from __future__ import annotations

import time
from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worker.metrics import GatewayMetrics

_OTHER = "?"  # whoever asks makes paths up, and each would be a series that stays


class Counting:
    """Middleware: `line_gateway_requests_total` for `endpoint` and the `others`, and for `endpoint` alone
    `line_gateway_seconds`."""

    def __init__(self, app: ASGIApp, metrics: GatewayMetrics, endpoint: str, others: Iterable[str]) -> None:
        self._app = app
        self._metrics = metrics
        self._endpoint = endpoint
        self._paths = {endpoint, *others}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and note what becomes of it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.monotonic()
        path = scope["path"].rstrip("/")

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._note(path, message["status"], time.monotonic() - began)
            await send(message)

        await self._app(scope, receive, noting)

    def _note(self, path: str, status: int, seconds: float) -> None:
        self._metrics.requests.labels(path if path in self._paths else _OTHER, str(status)).inc()
        if path == self._endpoint:
            self._metrics.seconds.observe(seconds)
