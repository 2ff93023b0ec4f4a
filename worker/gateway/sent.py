"""An answer that goes out as fast as its client reads it, and is held to account until it has gone."""

from __future__ import annotations

from contextlib import ExitStack

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

_PIECE = 2**18


class Sent(Response):
    """A JSON answer; `held` is let go of once it is sent, or its client is gone."""

    def __init__(self, body: bytes, held: ExitStack) -> None:
        super().__init__(body, media_type="application/json")
        self._held = held

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """In pieces: before each the server waits until the client has read most of those before."""
        with self._held:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            view, size = memoryview(self.body), len(self.body)
            for at in range(0, size, _PIECE):
                piece = {"body": bytes(view[at : at + _PIECE]), "more_body": at + _PIECE < size}
                await send({"type": "http.response.body", **piece})
