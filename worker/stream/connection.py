"""Connections to Redis: raw replies, a time-out on everything, and redis' errors turned into ours."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.connection import Connection, ConnectionPool, SSLConnection, UnixDomainSocketConnection
from redis.retry import Retry

from worker.errors import SettingsError, StreamError, StreamUnavailable
from worker.settings import RedisSettings, Settings
from worker.stream.keys import LineKeys
from worker.stream.locate import ClusterLocator, LocatedConnection, LocatedSSLConnection, Locator, SentinelLocator
from worker.stream.login import Misconfigured, certificates, credentials, refused_certificate, sentinel_credentials
from worker.stream.pack import CommandPacker

# A reader blocks at the server at most this long: well under the shortest time-out (RedisSettings.timeout_s).
BLOCK_MS = 500

# Taken from the socket at once: a batch of frames is a megabyte and more, and each call of the system has its price.
_READ_BYTES = 2**18

# The server at the other end is not, or no longer, the one that takes our writes: the next try must look for it anew.
# Whoever waits in a blocking read is sent away with UNBLOCKED; a primary whose replicas have left it for another one
# says NOREPLICAS, if it is told to have some (min-replicas-to-write).
_ELSEWHERE = ("READONLY", "MOVED", "ASK", "CLUSTERDOWN", "MASTERDOWN", "NOREPLICAS", "UNBLOCKED")

# Error replies that pass by themselves: the server is loading, failing over, full, or busy with a script; a reader
# that waited is sent away (UNBLOCKED) when its key is deleted or the server becomes a replica.
_PASSING = (
    "LOADING",
    "READONLY",
    "OOM",
    "BUSY",
    "MASTERDOWN",
    "TRYAGAIN",
    "CLUSTERDOWN",
    "MISCONF",
    "NOREPLICAS",
    "UNKILLABLE",
    "UNBLOCKED",
)

# What redis-py raises without the server's code.
_STRIPPED: dict[type[redis.RedisError], str] = {
    redis.ReadOnlyError: "READONLY",
    redis.OutOfMemoryError: "OOM",
    redis.exceptions.MovedError: "MOVED",
    redis.exceptions.AskError: "ASK",
    redis.exceptions.TryAgainError: "TRYAGAIN",
    redis.exceptions.ClusterDownError: "CLUSTERDOWN",
    redis.exceptions.MasterDownError: "MASTERDOWN",
}


class Client(redis.Redis):
    """redis-py's client with every reply as the server sent it: lists, bytes and numbers.

    An entry with a field twice is seen as such, and no time goes into dicts and strings that nobody asked for.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.response_callbacks.clear()

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """One command, one raw reply; the errors are redis' own, see `stream_errors`."""
        with self.leaving_who_is_outdated():
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]

    def execute_together(self, *commands: tuple[Any, ...]) -> list[Any]:
        """Commands in one go, and so on one connection, with their raw replies; raises the first error among them."""
        with self.leaving_who_is_outdated():
            replies = self.pipelined(commands, transaction=False)
            for reply in replies:
                if isinstance(reply, Exception):
                    raise reply
            return replies

    def pipelined(self, commands: Sequence[tuple[Any, ...]], *, transaction: bool) -> list[Any]:
        """The raw replies to commands that are sent in one go, error replies among them."""
        with self.pipeline(transaction=transaction) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)  # type: ignore[no-untyped-call]
            return list(pipeline.execute(raise_on_error=False))

    @contextmanager
    def leaving_who_is_outdated(self) -> Iterator[None]:
        """Keep no connection to a server that is not the primary, nor ask the same node again where that is."""
        pool = self.connection_pool
        locator: Locator | None = pool.connection_kwargs.get("locator")
        try:
            yield
        except (redis.ConnectionError, redis.TimeoutError):
            if locator:
                locator.doubt()
            raise
        except redis.ResponseError as error:
            if not _says(error, _ELSEWHERE):
                raise
            pool.disconnect(inuse_connections=False)
            if locator is None:
                raise
            locator.doubt()
            raise redis.ConnectionError(f"the primary is elsewhere by now ({_told(error)}).") from error


def connect(settings: Settings) -> Client:
    """A client for the line, whose replies are the server's own (RESP2, bytes), with time-outs and health checks.

    It does not retry by itself: whoever calls knows whether a second try is safe. Nothing is sent yet. Behind
    Sentinels and in a Cluster each new connection goes to the server that is the primary then.

    Raises:
        SettingsError: a file for TLS cannot be used.
    """
    address = settings.redis.address()
    tls = certificates(settings.redis) if address.tls else {}
    options = _time_outs(settings.redis) | tls
    if address.kind == "unix":
        where: dict[str, Any] = {"connection_class": UnixDomainSocketConnection, "path": address.path}
    elif address.kind == "server":
        host, port = address.nodes[0]
        where = {"connection_class": SSLConnection if tls else Connection, "host": host, "port": port}
        where["socket_keepalive"] = True
    else:
        where = {"connection_class": LocatedSSLConnection if tls else LocatedConnection}
        where |= {"locator": _locator(settings, options), "socket_keepalive": True}
    client = Client.from_pool(ConnectionPool(**where, **options, **credentials(settings.redis), db=address.db))
    assert isinstance(client, Client)
    return client


def _time_outs(settings: RedisSettings) -> dict[str, Any]:
    """What every connection has, to whomever it leads. Both directions are under `socket_timeout`, a health check
    too, so that a peer that vanished without a word is given up after it; TCP's own means are not waited for."""
    return {
        "protocol": 2,
        "decode_responses": False,
        "socket_read_size": _READ_BYTES,
        "socket_timeout": settings.timeout_s,
        "socket_connect_timeout": settings.connect_timeout_s,
        "health_check_interval": settings.health_check_s,
        "retry": Retry(NoBackoff(), 0),
        "command_packer": CommandPacker(),
        "client_name": f"line-worker@{socket.gethostname()}"[:60].replace(" ", "-"),
    }


def _locator(settings: Settings, options: dict[str, Any]) -> Locator:
    address = settings.redis.address()
    # Where the primary is takes one short answer: a node that does not give it at once is passed over.
    options = options | {"socket_timeout": settings.redis.connect_timeout_s}
    if address.kind == "cluster":
        options |= credentials(settings.redis)
        return ClusterLocator(LineKeys(settings.line).frames, address.nodes, address.tls, options)
    return SentinelLocator(address.service, address.nodes, address.tls, options | sentinel_credentials(settings.redis))


@contextmanager
def stream_errors() -> Iterator[None]:
    """Turn redis' exceptions into `StreamUnavailable` (wait and try again) or `StreamError`.

    A refused login, certificate or command is a SettingsError: no waiting and no restart mends it.
    """
    try:
        yield
    except Misconfigured as error:
        raise SettingsError(str(error)) from error
    except (redis.ConnectionError, redis.TimeoutError, OSError) as error:
        if isinstance(error, redis.AuthenticationError | redis.exceptions.AuthorizationError):
            raise SettingsError(f"redis.url: Redis refuses the login: {error}") from error
        if refused := refused_certificate(error):
            raise SettingsError(refused) from error
        raise StreamUnavailable(f"Redis cannot be reached: {error} Is it running? See redis.url") from error
    except redis.ResponseError as error:
        if _says(error, _PASSING):
            raise StreamUnavailable(f"Redis refuses work for now: {_told(error)}") from error
        if is_no_permission(error):
            raise SettingsError(f"redis.url: its user lacks a right that this takes: {error}") from error
        hint = " This is a Cluster: use redis+cluster:// in redis.url" if _says(error, ("MOVED", "ASK")) else ""
        raise StreamError(f"Redis: {_told(error)}{hint}") from error
    except redis.RedisError as error:
        raise StreamError(f"Redis: {error}") from error


@contextmanager
def bearing_no_group(heal: Callable[[], None] | None = None) -> Iterator[None]:
    """Where the group or its stream is gone, call `heal` and go on as if nothing had been found; other errors become
    ours, see `stream_errors`."""
    with stream_errors():
        try:
            yield
        except redis.ResponseError as error:
            if not is_no_group(error):
                raise
            if heal is not None:
                heal()


def _says(error: redis.RedisError, codes: tuple[str, ...]) -> bool:
    """Whether the error's code begins with one of these."""
    return _told(error).startswith(codes)


def _told(error: redis.RedisError) -> str:
    """The error from its code on; redis-py puts the command of a transaction before it, and Redis 6 the place in the
    script."""
    text = re.sub(r"^Command # \d+ \(.*\) of pipeline caused error: ", "", str(error), flags=re.DOTALL)
    text = re.sub(r"^(?:ERR )?Error running script .*?: -(?=[A-Z]+ )", "", text)
    return " ".join([_STRIPPED[type(error)], text]) if type(error) in _STRIPPED else text


def is_no_permission(error: redis.ResponseError) -> bool:
    """Whether the user may not do this; in a script Redis before 7.2 says so without the code NOPERM."""
    return isinstance(error, redis.exceptions.NoPermissionError) or "user executing the script can't" in str(error)


def is_no_group(error: redis.ResponseError) -> bool:
    """Whether the reply, a script's too, says that the stream or its consumer group is gone or was never made."""
    return "NOGROUP" in str(error) or "no such key" in str(error)


def eviction_policy(client: Client) -> str:
    """How the server makes room when it is full; anything but `noeviction` may throw a line's keys away."""
    return _memory_info(client).get("maxmemory_policy", "").strip()


def memory_in_use(client: Client) -> dict[str, int]:
    """The server's `memory_bytes`, and `memory_limit_bytes`, 0 where it has none; also where it tells neither.

    Raises:
        StreamUnavailable: Redis is away.
    """
    info = _memory_info(client)
    return {"memory_bytes": int(info.get("used_memory", 0)), "memory_limit_bytes": int(info.get("maxmemory", 0))}


def _memory_info(client: Client) -> dict[str, str]:
    with stream_errors():
        text: str = client.execute_command("INFO", "memory").decode("utf-8", "replace")
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def pairs(flat: list[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """A flat [name, value, name, value, …] reply as pairs."""
    return zip(flat[::2], flat[1::2], strict=True)


def mapping(flat: list[Any]) -> dict[str, Any]:
    """A flat reply (XINFO, HGETALL) as a dict by text names; values stay as they came."""
    return {name.decode("utf-8", "replace"): value for name, value in pairs(flat)}
