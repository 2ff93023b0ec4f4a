"""Which frames show the very same pixels as so many before them: the memory of it, shared by all workers of a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from worker.stream.connection import Client, stream_errors
from worker.stream.keys import LineKeys
from worker.stream.scripts import Script

CAMERAS_KEPT = 4_096
"""Cameras remembered at most; beyond that any one is forgotten for each new one, and counts anew."""

_KEPT_S = 24 * 3600


@dataclass(frozen=True, slots=True)
class Shown:
    """A frame, and the digest of its pixels (hex digits)."""

    frame: str
    camera: str
    digest: str


class FrozenCameras:
    """Tells frozen cameras by their frames, which may come in any order, from any worker, and more than once.

    From the `limit`-th frame with the same pixels on, as they are reported, each is frozen, until the camera shows
    something else.
    """

    def __init__(self, client: Client, keys: LineKeys, limit: int) -> None:
        self._key = keys.pictures
        self._limit = limit
        self._script = Script(client, "ids.lua", "frozen.lua")

    def frozen(self, shown: Sequence[Shown]) -> list[bool]:
        """Note these frames by one call, and say of each whether its camera is frozen.

        Raises:
            StreamUnavailable: Redis is away; call again with the same frames.
        """
        if not shown:
            return []
        args: list[str | int] = [self._limit, CAMERAS_KEPT, _KEPT_S]
        for one in shown:
            args += [one.camera, one.frame, one.digest]
        with stream_errors():
            return [found == 1 for found in self._script([self._key], args)]
