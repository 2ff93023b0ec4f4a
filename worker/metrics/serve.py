"""The endpoint that serves metrics, and the files in which worker processes keep theirs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import start_http_server
from prometheus_client.multiprocess import MultiProcessCollector

from worker.errors import SettingsError
from worker.metrics.of_line import of_line


def worker_files(slot: str) -> dict[str, int]:
    """The files into which the worker `slot` writes its metrics, and bytes that hold all of them.

    prometheus_client takes a file's size as it finds it, so that one with room never has to grow.
    """
    return {f"counter_{slot}.db": 2**20, f"histogram_{slot}.db": 5 * 2**20, f"gauge_mostrecent_{slot}.db": 2**18}


def merged_registry(folder: Path) -> CollectorRegistry:
    """A registry that merges what the worker processes wrote into `folder`."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(folder))  # type: ignore[no-untyped-call]
    return registry


def serve(registry: CollectorRegistry, line: str, host: str, port: int) -> Callable[[], None]:
    """Serve `/metrics` of a process of this line, see `of_line`; returns what stops it. Port 0 serves nothing.

    Raises:
        SettingsError: the address is in use or not ours.
    """
    if port == 0:
        return lambda: None
    try:
        server, thread = start_http_server(port, addr=host, registry=of_line(registry, line))
    except OSError as error:
        raise SettingsError(f"metrics: cannot listen on {host}:{port}: {error.strerror or error}") from error

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop
