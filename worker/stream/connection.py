"""Connections to Redis: raw replies, a time-out on everything, and redis' errors turned into ours."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from worker.errors import SettingsError, StreamError, StreamUnavailable
from worker.settings import RedisSettings, mask_password


class Client(redis.Redis):
    """redis-py's client with every reply as the server sent it: lists, bytes and numbers.

    An entry with a field twice is seen as such, and no time goes into dicts and strings that nobody asked for.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.response_callbacks.clear()

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """One command, one raw reply; the errors are redis' own, see `stream_errors`."""
        return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]


# A reader blocks at the server at most this long: well under the shortest time-out (RedisSettings.timeout_s).
BLOCK_MS = 500

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


def connect(settings: RedisSettings) -> Client:
    """A client whose replies are the server's own (RESP2, bytes), with time-outs and health checks.

    It does not retry by itself: whoever calls knows whether a second try is safe. Nothing is sent yet.

    Raises:
        StreamError: the URL cannot be understood.
    """
    url = settings.url.get_secret_value()
    keepalive = (
        {}
        if url.startswith("unix://")
        else {"socket_keepalive": True, "socket_connect_timeout": settings.connect_timeout_s}
    )
    try:
        client = Client.from_url(
            url,
            protocol=2,
            decode_responses=False,
            socket_timeout=settings.timeout_s,
            health_check_interval=settings.health_check_s,
            retry=Retry(NoBackoff(), 0),
            client_name=f"line-worker@{socket.gethostname()}"[:60].replace(" ", "-"),
            **keepalive,
        )
    except ValueError as error:
        raise StreamError(f"redis.url {mask_password(url)}: {error}") from error
    assert isinstance(client, Client)
    return client


@contextmanager
def stream_errors() -> Iterator[None]:
    """Turn redis' exceptions into `StreamUnavailable` (wait and try again) or `StreamError`.

    A refused login and a command that the user may not give are SettingsErrors: no waiting and no restart mends them.
    """
    try:
        yield
    except (redis.ConnectionError, redis.TimeoutError, OSError) as error:
        if isinstance(error, redis.AuthenticationError | redis.exceptions.AuthorizationError):
            raise SettingsError(f"redis.url: Redis refuses the login: {error}") from error
        raise StreamUnavailable(f"Redis cannot be reached: {error} Is it running? See redis.url") from error
    except redis.ResponseError as error:
        text = str(error)
        # redis-py strips the code of the errors it has a class for, so the class is asked too.
        if isinstance(error, redis.ReadOnlyError | redis.OutOfMemoryError) or _from_its_code(text).startswith(_PASSING):
            raise StreamUnavailable(f"Redis refuses work for now: {text}") from error
        if is_no_permission(error):
            raise SettingsError(f"redis.url: its user lacks a right that this takes: {text}") from error
        raise StreamError(f"Redis: {text}") from error
    except redis.RedisError as error:
        raise StreamError(f"Redis: {error}") from error


def _from_its_code(text: str) -> str:
    """The error from its code on; Redis 6 puts the place in the script before the code of what failed there."""
    return re.sub(r"^(?:ERR )?Error running script .*?: -(?=[A-Z]+ )", "", text)


def is_no_permission(error: redis.ResponseError) -> bool:
    """Whether the user may not do this; in a script Redis before 7.2 says so without the code NOPERM."""
    return isinstance(error, redis.exceptions.NoPermissionError) or "user executing the script can't" in str(error)


def is_no_group(error: redis.ResponseError) -> bool:
    """Whether the reply, a script's too, says that the stream or its consumer group is gone or was never made."""
    return "NOGROUP" in str(error) or "no such key" in str(error)


def eviction_policy(client: Client) -> str:
    """How the server makes room when it is full; anything but `noeviction` may throw a line's keys away."""
    with stream_errors():
        text: str = client.execute_command("INFO", "memory").decode("utf-8", "replace")
    lines = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    return lines.get("maxmemory_policy", "").strip()


def ensure_group(client: Client, stream: str, group: str) -> None:
    """Create the consumer group, from the stream's beginning so that what came before it is not lost."""
    try:
        client.execute_command("XGROUP", "CREATE", stream, group, "0", "MKSTREAM")
    except redis.ResponseError as error:
        if not str(error).startswith("BUSYGROUP"):
            raise


def pairs(flat: list[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """A flat [name, value, name, value, …] reply as pairs."""
    return zip(flat[::2], flat[1::2], strict=True)


def mapping(flat: list[Any]) -> dict[str, Any]:
    """A flat reply (XINFO, HGETALL) as a dict by text names; values stay as they came."""
    return {name.decode("utf-8", "replace"): value for name, value in pairs(flat)}
