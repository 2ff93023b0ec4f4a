"""One client's connection, which may not hold on to what it does not use.

uvicorn bounds a request's head in bytes and an idle connection in time. Here an unfinished head is bounded in time too,
and so is an answer that the client does not read, and the number of connections, below what the system grants.
"""

from __future__ import annotations

import asyncio
import resource
from typing import Any

import structlog
from uvicorn.protocols.http.h11_impl import H11Protocol

log = structlog.get_logger()

HEAD_WITHIN_S = 10.0
"""A request's head must be complete so long after its first byte, and the first one after the connection."""

READ_WITHIN_S = 30.0
"""An answer of which nothing was read for so long is not waited for any more."""

_LOOK_EVERY_S = 2.0
_FILES_FOR_ALL_ELSE = 100  # Redis, logs, pictures by URL
_MOST_CONNECTIONS = 4_096
_SAY_EVERY_S = 30.0


def most_connections() -> int:
    """How many may be open at once: fewer than files that this process may have."""
    most_files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return max(8, min(_MOST_CONNECTIONS, most_files - _FILES_FOR_ALL_ELSE))


class Connection(H11Protocol):
    """uvicorn's, watched over."""

    _most = most_connections()
    _said_at = -_SAY_EVERY_S

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See asyncio.Protocol."""
        super().connection_made(transport)
        self._waiting_since = self.loop.time()
        self._unread = 0
        self._unread_since = 0.0
        self._look: asyncio.TimerHandle | None = None
        if len(self.connections) > self._most:
            self._say("too many connections; a new one is refused", most=self._most)
            transport.abort()
            return
        self._look = self.loop.call_later(_LOOK_EVERY_S, self._watch)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        if self._look is not None:
            self._look.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if not self._is_in_head():
            self._waiting_since = self.loop.time()  # of the head that begins now, if one does
        super().data_received(data)

    def _watch(self) -> None:
        now = self.loop.time()
        if self._is_in_head() and now - self._waiting_since > HEAD_WITHIN_S:
            self.transport.abort()
        elif self._is_not_read(now):
            self._say("a client does not read its answer; its connection is closed", client=str(self.client))
            self.transport.abort()
        else:
            self._look = self.loop.call_later(_LOOK_EVERY_S, self._watch)

    def _is_in_head(self) -> bool:
        """Whether a request has begun, or the first one has not, whose head is not complete."""
        is_working = self.cycle is not None and not self.cycle.response_complete
        return not is_working and (self.cycle is None or bool(self.conn.trailing_data[0]))

    def _is_not_read(self, now: float) -> bool:
        unread = self.transport.get_write_buffer_size()
        if not self._unread or unread < self._unread:
            self._unread_since = now
        self._unread = unread
        return bool(unread) and now - self._unread_since > READ_WITHIN_S

    def _say(self, event: str, **more: Any) -> None:
        """Once in a while: whoever makes connections must not fill the log."""
        now = self.loop.time()
        if now - Connection._said_at >= _SAY_EVERY_S:
            Connection._said_at = now
            log.warning(event, **more)
