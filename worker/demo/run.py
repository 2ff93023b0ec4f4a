"""Runs the demo: Redis, workers, alert process and cameras, each a process of its own, and watches them."""

from __future__ import annotations

import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live

from worker.capture.generated import GeneratedLine
from worker.demo import MODEL
from worker.demo.observer import Observer
from worker.demo.report import build_report
from worker.demo.table import render
from worker.errors import LineError
from worker.processes import Processes
from worker.settings import Settings
from worker.stream.connection import Client, connect
from worker.stream.consume import consumer_count
from worker.stream.embedded import EmbeddedRedis
from worker.stream.keys import LineKeys
from worker.stream.ledger import read_ledger

_READY_TIMEOUT_S = 120.0
_DRAIN_TIMEOUT_S = 30.0
_TICK_S = 0.25


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """`seconds` 0 runs until stopped; `fps` is each camera's; `devices` as in LINE_DEVICES, empty: two workers."""

    seconds: float = 0.0
    cameras: int = 2
    fps: float = 4.0
    devices: str = ""
    redis_port: int = 0


def run_demo(
    options: DemoOptions, load: Callable[[dict[str, Any]], Settings], console: Console, stop: threading.Event
) -> dict[str, Any]:
    """Run it and return the report. `load` makes settings of flags, over the user's own file and environment.

    Raises:
        LineError: one of the processes ended before its time, with its log's last lines.
    """
    with (
        tempfile.TemporaryDirectory(prefix="line-worker-demo-") as folder,
        EmbeddedRedis(port=options.redis_port) as server,
    ):
        settings = load(
            {
                "line": "demo",
                "redis.url": server.url,
                "model": str(MODEL),
                "devices": options.devices or two_workers(),
                "metrics.port": free_port(9108),
                "metrics.alerts_port": free_port(9109),
            }
        )
        with Processes(Path(folder), _environment(settings)) as processes:
            return _Demo(options, settings, processes, console, stop).run(server.url)


class _Demo:
    def __init__(
        self, options: DemoOptions, settings: Settings, processes: Processes, console: Console, stop: threading.Event
    ) -> None:
        self._options = options
        self._settings = settings
        self._processes = processes
        self._console = console
        self._stop = stop
        self._client: Client = connect(settings)
        self._keys = LineKeys(settings.line)
        self._lines = {f"cam{number}": GeneratedLine(number) for number in range(1, options.cameras + 1)}

    def run(self, redis_url: str) -> dict[str, Any]:
        started = time.monotonic()
        self._start_line(redis_url)
        self._console.print(f"ready after {time.monotonic() - started:.0f} s; the cameras begin")
        observer = Observer(self._settings, self._lines)
        sources = [f"{name}=test://?seed={line.seed}" for name, line in self._lines.items()]
        self._processes.start("produce", "produce", *sources, "--fps", str(self._options.fps))
        began = time.monotonic()
        self._watch(observer, began)
        self._drain(observer)
        report = build_report(observer, read_ledger(self._client, self._keys), time.monotonic() - began)
        observer.close()
        return report

    def _start_line(self, redis_url: str) -> None:
        metrics = self._settings.metrics
        self._console.print(f"Redis      {redis_url}   line '{self._settings.line}': any client may join")
        self._console.print(
            f"metrics    http://{metrics.host}:{metrics.port}/metrics   alerts' at port {metrics.alerts_port}"
        )
        self._console.print(f"workers    {self._settings.devices}, loading the model …")
        self._processes.start("run", "run")
        self._processes.start("alerts", "alerts")
        wanted = len(self._settings.devices.split(","))
        deadline = time.monotonic() + _READY_TIMEOUT_S
        while consumer_count(self._client, self._keys) < wanted and not self._stop.is_set():
            self._processes.check()
            if time.monotonic() > deadline:
                raise LineError(f"the workers were not ready after {_READY_TIMEOUT_S:.0f} s")
            time.sleep(_TICK_S)

    def _watch(self, observer: Observer, began: float) -> None:
        seconds = self._options.seconds
        with Live(console=self._console, auto_refresh=False, transient=True) as live:
            while not self._stop.is_set() and not (seconds and time.monotonic() - began >= seconds):
                self._processes.check()
                ledger = read_ledger(self._client, self._keys)
                live.update(render(observer, ledger, time.monotonic() - began, seconds), refresh=True)
                self._stop.wait(_TICK_S)

    def _drain(self, observer: Observer) -> None:
        """The cameras first, then what is still in work, then the alerts on it."""
        self._processes.stop("produce")
        deadline = time.monotonic() + _DRAIN_TIMEOUT_S
        ledger = read_ledger(self._client, self._keys)
        while ledger.backlog and time.monotonic() < deadline:
            time.sleep(_TICK_S)
            ledger = read_ledger(self._client, self._keys)
        seen = sum(ledger.verdicts.values())
        while (
            sum(len(tally.latencies_ms) for tally in observer.cameras.values()) < seen and time.monotonic() < deadline
        ):
            time.sleep(_TICK_S)
        time.sleep(self._settings.alerts.reorder_ms / 1000 + 1.0)
        self._processes.stop("alerts")
        self._processes.stop("run")


def two_workers() -> str:
    """A device string for two workers that share this machine's cores, or one where there is but one core."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) == 1:
        return f"cpu:{cores[0]}"
    if cores[-1] - cores[0] != len(cores) - 1:  # not contiguous: no ranges can name them
        return f"cpu:{cores[0]},cpu:{cores[1]}"
    half = len(cores) // 2
    return ",".join(
        f"cpu:{part[0]}-{part[-1]}" if len(part) > 1 else f"cpu:{part[0]}" for part in (cores[:half], cores[half:])
    )


def free_port(wanted: int) -> int:
    """`wanted`, or any free loopback port where that is taken."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise LineError("no free port on 127.0.0.1")


def _environment(settings: Settings) -> dict[str, str]:
    """What the demo's commands must agree on; everything else they read as the user set it."""
    return {
        "LINE_LINE": settings.line,
        "LINE_REDIS__URL": settings.redis.url.get_secret_value(),
        "LINE_MODEL": str(settings.model),
        "LINE_DEVICES": settings.devices,
        "LINE_METRICS__PORT": str(settings.metrics.port),
        "LINE_METRICS__ALERTS_PORT": str(settings.metrics.alerts_port),
        "PYTHONUNBUFFERED": "1",
    }
