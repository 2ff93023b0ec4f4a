"""The service with workers of its own, and where none is named with a Redis of its own: one command serves."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

from worker.devices import parse_devices
from worker.errors import LineError, StreamUnavailable
from worker.gateway.line.lookout import SEEN_WITHIN_S
from worker.gateway.server import Server
from worker.processes import Processes
from worker.settings import Settings
from worker.stream.connection import connect
from worker.stream.embedded import EmbeddedRedis
from worker.stream.keys import LineKeys
from worker.stream.seen import look_at_line

_TICK_S = 0.2

Load = Callable[[dict[str, Any]], Settings]
"""Makes settings of flags, over the user's own file and environment."""
Say = Callable[[str], None]


def serve(settings: Settings, stop: threading.Event, say: Say) -> None:
    """The service on a line that has its workers, until `stop` is set.

    Raises:
        SettingsError: the address is taken, or a file cannot be used.
        LineError: the service ended by itself.
    """
    server = Server(settings)
    try:
        _serve(server, stop, say, server.check)
    finally:
        server.stop()


def serve_whole(load: Load, config: Path | None, own_redis: bool, stop: threading.Event, say: Say) -> None:
    """The service and its workers, until `stop` is set.

    Args:
        config: the YAML file that `load` reads, for the workers to read too.
        own_redis: whether a Redis is started too.

    Raises:
        SettingsError: as above.
        LineError: the workers ended before their time, with the end of their log and their exit code.
    """
    with (
        tempfile.TemporaryDirectory(prefix="line-worker-serve-") as folder,
        EmbeddedRedis() if own_redis else nullcontext() as redis,
    ):
        settings = load({"redis.url": redis.url} if redis else {})
        server = Server(settings)  # before the model is loaded: a port that is taken is told at once
        try:
            with Processes(Path(folder), _environment(settings, config)) as processes:
                processes.start("run", "run")
                say(f"workers    {settings.devices}, loading {settings.model} …   log {folder}/run.log")
                if _wait_for_workers(settings, processes, stop):

                    def check() -> None:
                        processes.check()
                        server.check()
                        if redis and redis.process.poll() is not None:
                            raise LineError("the embedded Redis ended by itself; the line is lost with it")

                    _serve(server, stop, say, check)
                server.stop()  # while there are workers for what is in flight
        finally:
            server.stop(patience_s=0)  # where they failed, nobody gives verdicts any more


def _serve(server: Server, stop: threading.Event, say: Say, check: Callable[[], None]) -> None:
    server.start()
    say(f"listening  {server.url}   document {server.url}/openapi.json")
    while not stop.wait(_TICK_S):
        check()


def _wait_for_workers(settings: Settings, processes: Processes, stop: threading.Event) -> bool:
    """Whether all workers are there; not if `stop` was set before. How long they may take, `run` decides."""
    keys, wanted = LineKeys(settings.line), len(parse_devices(settings.devices))
    with closing(connect(settings)) as client:
        while not stop.wait(_TICK_S):
            processes.check()
            try:
                if look_at_line(client, keys, SEEN_WITHIN_S).workers >= wanted:
                    return True
            except StreamUnavailable:
                continue  # a Redis that is still coming up; the workers wait for it too
    return False


def _environment(settings: Settings, config: Path | None) -> dict[str, str]:
    """What the workers must agree on with the service; everything else they read as the user set it."""
    variables = {
        "LINE_LINE": settings.line,
        "LINE_REDIS__URL": settings.redis.url.get_secret_value(),
        "LINE_MODEL": str(settings.model),
        "LINE_DEVICES": settings.devices,
        "LINE_ENGINE": settings.engine,
        "LINE_PRECISION": settings.precision,
        "LINE_THRESHOLD": "" if settings.threshold is None else repr(settings.threshold),
        "LINE_BATCH__MAX_BATCH": str(settings.batch.max_batch),
        "LINE_METRICS__PORT": str(settings.metrics.port),
        "LINE_LOG__LEVEL": settings.log.level,
        "PYTHONUNBUFFERED": "1",
    }
    return variables | ({"LINE_CONFIG": str(config.resolve())} if config else {})
