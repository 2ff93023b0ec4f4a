"""What the line's Redis is in a chaos run: one durable server behind a proxy, or a primary that Sentinels watch."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import redis
from ports import free_ports
from redis_servers import SentinelTrio, Server, wait_for


class SingleRedis:
    """A server with an append-only file, and before it `proxy.py`, through which the line reaches it."""

    def __init__(self, folder: Path, appendfsync: str) -> None:
        port, proxy_port = free_ports(2)
        self.appendfsync = appendfsync
        self.server = Server(
            folder / "redis", port, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes",
            "--appendfsync", appendfsync,
        )  # fmt: skip
        self.server.start()
        self.url = f"redis://127.0.0.1:{proxy_port}/0"
        self.direct_url = f"redis://127.0.0.1:{port}/0"
        command = [sys.executable, str(Path(__file__).with_name("proxy.py")), str(proxy_port), str(port)]
        self._proxy = subprocess.Popen(command, start_new_session=True)

    @property
    def client(self) -> redis.Redis:
        """Straight to the server."""
        return self.server.client

    def swallow(self) -> None:
        """The proxy takes bytes from now on, and loses them."""
        os.kill(self._proxy.pid, signal.SIGUSR1)

    def heal(self) -> None:
        """The proxy serves new connections."""
        os.kill(self._proxy.pid, signal.SIGUSR2)

    def fill_disk(self, full: bool) -> None:
        """The disk is full as far as the server can see: its files cannot grow; or they can again."""
        size = max(file.stat().st_size for file in self.server.folder.rglob("*") if file.is_file())
        soft = size if full else resource.RLIM_INFINITY
        resource.prlimit(self.server.pid, resource.RLIMIT_FSIZE, (soft, resource.RLIM_INFINITY))

    def rewrite_file(self) -> None:
        """Have the append-only file written anew, and wait for it."""
        wait_for(lambda: not self._is_rewriting(), "the file to be rewritten by itself")
        self.client.execute_command("BGREWRITEAOF")
        wait_for(lambda: not self._is_rewriting(), "the file to be rewritten")

    def _is_rewriting(self) -> bool:
        state = self.client.info("persistence")
        return bool(state["aof_rewrite_in_progress"] or state["aof_rewrite_scheduled"])

    def stop(self) -> None:
        """End both."""
        self.server.kill()
        self._proxy.kill()
        self._proxy.wait()


class SentinelRedis:
    """A primary, two replicas and three Sentinels. A primary that no replica follows takes no writes."""

    def __init__(self) -> None:
        options = ("--min-replicas-to-write", "1", "--min-replicas-max-lag", "2")
        self.trio = SentinelTrio(replicas=2, down_after_ms=800, options=options)
        self.trio.__enter__()
        self.url = self.direct_url = self.trio.url

    @property
    def client(self) -> redis.Redis:
        """To whoever is the primary now."""
        return self.trio.primary().client

    def settle(self) -> None:
        """Wait until the next failover may begin."""
        with suppress(AssertionError):
            self.trio.wait_for_replicas()
            self.trio.wait_until_watched()

    def stop(self) -> None:
        """End all."""
        self.trio.stop()
