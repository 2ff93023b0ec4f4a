"""The alert process's states, as whoever may see them reads them."""

from __future__ import annotations

from dataclasses import dataclass

from worker.stream.connection import Client, stream_errors
from worker.stream.fields import CAMERA
from worker.stream.keys import LineKeys

LINE = "@line"
"""The name under which the state of the line as a whole is kept: no camera can have it."""

_SCAN = 1_000


@dataclass(frozen=True, slots=True)
class Saved:
    """A state as it stands in its hash: JSON text, and the version to hand back with the next one."""

    version: int = 0
    text: str = ""


def load_states(client: Client, keys: LineKeys) -> dict[str, Saved]:
    """The saved states by camera; the line's own under `LINE`. In a Cluster the client is at the node of the line.

    A key behind whose name no camera can stand is another's, and passed over.
    """
    prefix = keys.alarm("")
    cursor, found = b"0", set[str]()
    with stream_errors():
        while True:
            cursor, page = client.execute_command("SCAN", cursor, "MATCH", prefix + "*", "COUNT", _SCAN)
            found |= {key.decode("utf-8", "replace").removeprefix(prefix) for key in page}
            if cursor == b"0":
                break
    names = sorted(name for name in found if name == LINE or CAMERA.fullmatch(name))
    if not names:
        return {}
    with stream_errors():
        replies = client.execute_together(*[("HMGET", keys.alarm(name), "version", "state") for name in names])
    return {name: _saved(*reply) for name, reply in zip(names, replies, strict=True)}


def load_version(client: Client, keys: LineKeys, name: str) -> int:
    """The version of the state of a camera, or of `LINE`; 0 where there is none."""
    with stream_errors():
        return int(client.execute_command("HGET", keys.alarm(name), "version") or 0)


def server_time_ns(client: Client) -> int:
    """Unix nanoseconds by the server's clock, the one that entry ids come from."""
    with stream_errors():
        seconds, microseconds = client.execute_command("TIME")
    return int(seconds) * 1_000_000_000 + int(microseconds) * 1_000


def _saved(version: bytes | None, text: bytes | None) -> Saved:
    return Saved(int(version or 0), (text or b"").decode("utf-8", "replace"))
