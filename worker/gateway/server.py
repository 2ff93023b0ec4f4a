"""The web server in a thread of its own, so that whoever started it can watch over other things and end it."""

from __future__ import annotations

import ipaddress
import logging
import socket
import threading
import time

import structlog
import uvicorn

from worker.errors import LineError, SettingsError
from worker.gateway.app import Service, create_app
from worker.gateway.connection import Connection
from worker.settings import GatewaySettings, Settings

log = structlog.get_logger()

_KEEP_ALIVE_S = 75  # longer than clients keep a connection that they do not use, so that none is closed under a request
_LAST_S = 2.0  # between telling those that wait and ending their connections
_TICK_S = 0.05
_BACKLOG = 1024


class Server:
    """Binds the address at once, serves from `start` until `stop`.

    Raises:
        SettingsError: the address is taken or none of this machine, or a file that the settings name cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        self._patience_s = settings.work.drain_timeout_s
        self._service = Service(settings)
        self._socket = _bound(settings.gateway)
        self.url = f"http://{_shown(settings.gateway.host)}:{settings.gateway.port}"
        _log_by_structlog()
        config = uvicorn.Config(
            create_app(settings, self._service),
            http=Connection,
            access_log=False,  # the metrics count, and a line for each of many requests a second helps nobody
            log_config=None,
            server_header=False,
            proxy_headers=False,  # what a client says of its own address must not get it another rate
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=int(self._patience_s + _LAST_S) + 1,
            backlog=_BACKLOG,
            ws="none",
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="http", daemon=True)

    def start(self) -> None:
        """Serve; returns when requests are taken.

        Raises:
            LineError: it did not come up; the log says why.
        """
        self._thread.start()
        while not self._server.started:
            self.check()
            time.sleep(_TICK_S)

    def check(self) -> None:
        """Raise where it has ended by itself.

        Raises:
            LineError: it has.
        """
        if not self._thread.is_alive():
            raise LineError("the HTTP service ended by itself; its log says why")

    def stop(self, patience_s: float | None = None) -> None:
        """Take no new connection, answer what is in flight, and end; called again it does nothing.

        Args:
            patience_s: what has no verdict after it is told so with a 503; default: `work.drain_timeout_s`.
        """
        self._server.should_exit = True
        if self._thread.ident is None:  # never started
            self._socket.close()
            return
        self._thread.join(self._patience_s if patience_s is None else patience_s)
        if self._thread.is_alive():
            log.warning("requests had no verdict in time; they are told so")
            self._service.give_up()
        self._thread.join()


def is_open_to_all(settings: GatewaySettings) -> bool:
    """Whether others than this machine's programs may ask, without any key."""
    return settings.keys_file is None and not _is_loopback(settings.host)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _bound(settings: GatewaySettings) -> socket.socket:
    host, port = settings.host, settings.port
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        bound = socket.socket(family, socket.SOCK_STREAM)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
        except OSError:
            bound.close()
            raise
    except OSError as error:
        raise SettingsError(f"gateway: cannot listen on {host}:{port}: {error.strerror or error}") from error
    bound.set_inheritable(False)
    return bound


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


class _ToStructlog(logging.Handler):
    """What the web server says goes the way of all other logs."""

    def emit(self, record: logging.LogRecord) -> None:
        logger = structlog.get_logger()
        error = record.exc_info if record.exc_info and record.exc_info[0] else None
        logger.log(record.levelno, "http server", said=record.getMessage(), exc_info=error)


def _log_by_structlog() -> None:
    for name in ("uvicorn", "uvicorn.error", "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers = [_ToStructlog()] if name != "uvicorn.error" else []
        logger.propagate = name == "uvicorn.error"
        logger.setLevel(logging.WARNING)
