"""Lua scripts: each is one step that other clients see whole or not at all."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import Any

import redis

from worker.errors import StreamUnavailable
from worker.stream.connection import Client, is_no_permission


class Script:
    """Files beside this one as one script, called by its hash and sent again when the server has forgotten it."""

    def __init__(self, client: Client, *names: str) -> None:
        self._client = client
        self._text = b"".join(files(__package__).joinpath(name).read_bytes() for name in names)
        self._sha = hashlib.sha1(self._text, usedforsecurity=False).hexdigest()

    def __call__(self, keys: list[str], args: list[Any]) -> Any:
        """Run it. The errors are redis' own, see `stream_errors`.

        Raises:
            StreamUnavailable: the server has not got it, and this user may not send it; others do (`offer`).
        """
        try:
            return self._client.execute_command("EVALSHA", self._sha, len(keys), *keys, *args)
        except redis.exceptions.NoScriptError:
            pass
        try:
            return self._client.execute_command("EVAL", self._text, len(keys), *keys, *args)
        except redis.ResponseError as error:
            if is_no_permission(error) and "'eval'" in str(error):
                raise StreamUnavailable(
                    "Redis has not got the publish script yet, which this user may call and not load: "
                    "`line-worker run` and `alerts` of the same version load it"
                ) from error
            raise

    def offer(self) -> None:
        """Load it where the server has forgotten it, for those who may call it and not load it."""
        if self._client.execute_command("SCRIPT EXISTS", self._sha) != [1]:
            self._client.execute_command("SCRIPT LOAD", self._text)


def publish_script(client: Client) -> Script:
    """The script by which frames are published; see publish.lua."""
    return Script(client, "frames.lua", "publish.lua")
