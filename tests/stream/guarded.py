"""A Redis with the users of deploy/redis, started as its container starts it."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
import redis
from line_settings import settings_for

from worker.settings import Settings
from worker.stream.connection import Client
from worker.stream.embedded import find_server

DEPLOY = Path(__file__).parents[2] / "deploy" / "redis"
LINE_ROLES = ("camera", "camera-evict", "worker", "alerts", "gateway", "viewer", "operator")


def server_with_selectors() -> str:
    """A server that knows ACL selectors; without one the test is skipped, and says so."""
    server = find_server()
    version = subprocess.run([server, "--version"], check=True, capture_output=True, text=True).stdout
    if " v=6." in version:
        pytest.skip(f"the ACL of deploy/redis needs Redis 7 or later; this is {version.strip()}")
    return server


class GuardedRedis:
    """`entrypoint.sh` with fresh passwords on a free port; a context manager."""

    def __init__(self, folder: Path, port: int, **environment: str) -> None:
        self.port = port
        self._secrets = folder / "secrets"
        self._log = folder / "redis.log"
        subprocess.run([DEPLOY / "make-secrets.sh", self._secrets], check=True)
        variables = {"REDIS_SECRETS_DIR": str(self._secrets), "REDIS_ACL_FILE": str(folder / "run" / "users.acl")}
        variables |= {"REDIS_SERVER": server_with_selectors()}
        options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [DEPLOY / "entrypoint.sh", *options], env=os.environ | variables | environment, stdout=log, stderr=log
            )
        self._wait()
        self.admin = self.client("admin")

    def __enter__(self) -> GuardedRedis:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()

    @property
    def log(self) -> str:
        """What the server said since it was started."""
        return self._log.read_text()

    def password(self, user: str) -> str:
        return (self._secrets / f"redis_{user}_password").read_text()

    def url(self, user: str, port: int = 0) -> str:
        return f"redis://{user}:{self.password(user)}@127.0.0.1:{port or self.port}/0"

    def settings(self, user: str, **flags: object) -> Settings:
        """Those of a line `test` for this user."""
        return settings_for(self.url(user), **flags)

    def client(self, user: str) -> Client:
        """A plain client, whose errors are redis' own."""
        client = Client.from_url(self.url(user), protocol=2)
        assert isinstance(client, Client)
        return client

    def allows(self, user: str, *command: Any) -> bool:
        """Whether the user may give the command; nothing is done."""
        return bool(self.admin.execute_command("ACL", "DRYRUN", user, *command) == b"OK")

    def _wait(self) -> None:
        """By the user that the container's health check has."""
        client = redis.Redis(port=self.port, username="health", password="any")
        deadline = time.monotonic() + 20
        while True:
            try:
                if client.ping():
                    return
            except redis.RedisError:
                assert self._process.poll() is None, self._log.read_text()
                assert time.monotonic() < deadline, self._log.read_text()
                time.sleep(0.02)
