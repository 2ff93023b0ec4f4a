"""Redis servers that a test may kill, pause, restart and fail over: single ones, and a set under Sentinel."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis
from ports import free_ports
from redis.backoff import NoBackoff
from redis.retry import Retry

from worker.stream.embedded import find_server

START_TIMEOUT_S = 30.0


def wait_for(condition: Callable[[], Any], what: str, timeout_s: float = START_TIMEOUT_S) -> None:
    """Poll gently until `condition` holds; a Redis error counts as not yet."""
    deadline = time.monotonic() + timeout_s
    while True:
        with suppress(redis.RedisError):
            if condition():
                return
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.05)


class Server:
    """One redis-server process; its folder, and so its data, outlives the process."""

    def __init__(
        self, folder: Path, port: int, *options: str, sentinel: bool = False, tls: dict[str, Any] | None = None
    ):
        folder.mkdir(parents=True)
        self.port = port
        self.folder = folder
        self._options = options
        self._sentinel = sentinel
        self._process: subprocess.Popen[bytes] | None = None
        self.client = redis.Redis(
            port=port, socket_timeout=2, socket_connect_timeout=2, retry=Retry(NoBackoff(), 0), **(tls or {})
        )

    def start(self, *options: str) -> None:
        """Start it, on the data that are there, and wait until it answers."""
        command = [find_server(), *self._options, *options]
        log = self.folder / "redis.log"
        with log.open("ab") as out:
            # A group of its own: Ctrl-C in the terminal must not stop it before those who use it.
            # SIGXFSZ stays ignored, as it is in Python: a file that cannot grow is an error for it and not the end.
            self._process = subprocess.Popen(
                command, cwd=self.folder, stdout=out, stderr=out, start_new_session=True, restore_signals=False
            )
        wait_for(self._answers, f"redis-server on port {self.port}, see {log}")

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "redis.log").read_text()[-2000:]
        try:
            return bool(self.client.ping()) if self._sentinel else self.client.info("persistence")["loading"] == 0
        except redis.AuthenticationError:
            return True

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """SIGKILL, as a power cut or the kernel's OOM killer would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self.client.connection_pool.disconnect()

    def terminate(self) -> None:
        """SIGTERM: it saves what it has and ends."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(START_TIMEOUT_S)
        self.client.connection_pool.disconnect()

    def pause(self) -> None:
        """SIGSTOP: it keeps its connections and answers nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT after `pause`."""
        os.kill(self.pid, signal.SIGCONT)


class ServerGroup(ABC):
    """Servers that belong together, with their data in one temporary folder; a context manager."""

    def __init__(self, kind: str) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix=f"line-worker-{kind}-")
        self._folder = Path(self._temporary.name)

    @abstractmethod
    def all(self) -> list[Server]:
        """Every server, running or not, in the order in which they are to end."""

    @abstractmethod
    def start(self) -> None:
        """Start them and wait until they know each other."""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End every process and delete the data."""
        for server in self.all():
            server.kill()
            server.client.close()
        self._temporary.cleanup()


class SentinelTrio(ServerGroup):
    """A primary, its replicas and three Sentinels, each a process of its own.

    `url` is the line's `redis.url`. Servers keep an append-only file. As the page on Redis advises, with two replicas a
    primary that has none left takes no writes: the others may have another one.
    """

    SERVICE = "line"

    def __init__(self, replicas: int = 2, down_after_ms: int = 800, options: Iterable[str] = ()) -> None:
        super().__init__("sentinel")
        self._down_after_ms = down_after_ms
        if replicas > 1:
            options = ("--min-replicas-to-write", "1", "--min-replicas-max-lag", "3", *options)
        ports = free_ports(1 + replicas + 3)
        self.servers = [self._server(port, options) for port in ports[: 1 + replicas]]
        self.sentinels = [self._watcher(port) for port in ports[1 + replicas :]]
        self.url = f"redis+sentinel://{','.join(f'127.0.0.1:{s.port}' for s in self.sentinels)}/{self.SERVICE}"

    def all(self) -> list[Server]:
        """The Sentinels first, so that none sees the others die."""
        return [*self.sentinels, *self.servers]

    def start(self) -> None:
        """Start the primary, then who follows it, then who watches them."""
        first, *others = self.servers
        first.start()
        for server in others:
            server.start("--replicaof", "127.0.0.1", str(first.port))
        self.wait_for_replicas()
        for sentinel in self.sentinels:
            sentinel.start()
        self.wait_until_watched()

    def primary(self) -> Server:
        """The server that most Sentinels hold for the primary now."""
        named = [port for port in map(self._primary_port_by, self.sentinels) if port]
        port = max(set(named), key=named.count)
        return next(server for server in self.servers if server.port == port)

    def replicas(self) -> list[Server]:
        """The other servers that run."""
        primary = self.primary()
        return [server for server in self.servers if server is not primary and server.running]

    def kill_primary(self) -> Server:
        """SIGKILL the primary; `wait_for_failover` with what this returns, then perhaps `revive`."""
        old = self.primary()
        old.kill()
        return old

    def pause_primary(self) -> Server:
        """SIGSTOP the primary: half dead. `resume()` what this returns once the failover is through."""
        old = self.primary()
        old.pause()
        return old

    def failover(self) -> Server:
        """Have the Sentinels fail over while all is well; returns the demoted primary, which stays as a replica."""
        old = self.primary()
        self.sentinels[0].client.execute_command("SENTINEL", "FAILOVER", self.SERVICE)
        self.wait_for_failover(old)
        return old

    def wait_for_failover(self, old: Server) -> Server:
        """Wait until all Sentinels name another primary than `old` and it takes writes; returns it."""

        def moved() -> bool:
            named = {self._primary_port_by(sentinel) for sentinel in self.sentinels}
            return len(named) == 1 and old.port not in named and self.primary().client.role()[0] == b"master"

        wait_for(moved, f"a failover from port {old.port}")
        return self.primary()

    def revive(self, server: Server) -> None:
        """Start a killed server again as a replica of the present primary, and wait until it follows."""
        server.start("--replicaof", "127.0.0.1", str(self.primary().port))
        self.wait_for_replicas()
        self.wait_until_watched()

    def wait_for_replicas(self) -> None:
        """Wait until every running server but one is a replica that is in step."""
        running = [server for server in self.servers if server.running]

        def in_step() -> bool:
            roles = [server.client.role() for server in running]
            followers = [role for role in roles if role[0] == b"slave" and role[3] == b"connected"]
            return len(followers) == len(running) - 1

        wait_for(in_step, "replicas in step")

    def wait_until_watched(self) -> None:
        """Wait until every Sentinel knows the others and all running servers, and calls nobody down: only then
        will a failover go through."""
        replicas = sum(server.running for server in self.servers) - 1

        def watched() -> bool:
            return all(self._is_at_ease(sentinel, replicas) for sentinel in self.sentinels)

        wait_for(watched, "Sentinels that know each other")

    def _is_at_ease(self, sentinel: Server, replicas: int) -> bool:
        state = sentinel.client.sentinel_master(self.SERVICE)
        followers = sentinel.client.sentinel_slaves(self.SERVICE)
        up = [one for one in followers if one["flags"] == "slave" and one["master-link-status"] == "ok"]
        return bool(state["flags"] == "master" and state["num-other-sentinels"] == 2 and len(up) >= replicas)

    def _primary_port_by(self, sentinel: Server) -> int:
        with suppress(redis.RedisError):
            address = sentinel.client.sentinel_get_master_addr_by_name(self.SERVICE)
            return int(address[1]) if address else 0
        return 0

    def _server(self, port: int, options: Iterable[str]) -> Server:
        folder = self._folder / f"server-{port}"
        mine = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", "", "--appendonly", "yes"]
        # A replica's first copy at once; 5 s later by default from Redis 7 on.
        return Server(folder, port, *mine, "--repl-diskless-sync-delay", "0", *options)

    def _watcher(self, port: int) -> Server:
        folder = self._folder / f"sentinel-{port}"
        sentinel = Server(folder, port, "sentinel.conf", "--sentinel", sentinel=True)
        (folder / "sentinel.conf").write_text(
            f"port {port}\nbind 127.0.0.1\ndir {folder}\n"
            f"sentinel monitor {self.SERVICE} 127.0.0.1 {self.servers[0].port} 2\n"
            f"sentinel down-after-milliseconds {self.SERVICE} {self._down_after_ms}\n"
            f"sentinel failover-timeout {self.SERVICE} 5000\n"
            f"sentinel parallel-syncs {self.SERVICE} 2\n"
        )
        return sentinel
