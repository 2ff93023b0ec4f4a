"""Lua scripts: each is one step that other clients see whole or not at all."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import Any

import redis

from worker.stream.connection import Client


class Script:
    """Files beside this one as one script, called by its hash and sent again when the server has forgotten it."""

    def __init__(self, client: Client, *names: str) -> None:
        self._client = client
        self._text = b"".join(files(__package__).joinpath(name).read_bytes() for name in names)
        self._sha = hashlib.sha1(self._text, usedforsecurity=False).hexdigest()

    def __call__(self, keys: list[str], args: list[Any]) -> Any:
        """Run it. The errors are redis' own; see `stream_errors`."""
        try:
            return self._client.execute_command("EVALSHA", self._sha, len(keys), *keys, *args)
        except redis.exceptions.NoScriptError:
            return self._client.execute_command("EVAL", self._text, len(keys), *keys, *args)
