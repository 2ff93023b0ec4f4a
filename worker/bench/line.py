"""The whole way: an embedded Redis, `line-worker run` with its settings as they are, a camera; and what comes out."""

from __future__ import annotations

import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from worker.bench import usage
from worker.bench.flow import Flow, Probe, flow_of
from worker.bench.frames import read_frames
from worker.bench.stopping import pause
from worker.bench.talk import Talker, end_group
from worker.bench.variants import Variant
from worker.demo.run import free_port
from worker.devices import parse_devices
from worker.errors import LineError
from worker.processes import Processes
from worker.settings import Settings, inherited_environment, to_json
from worker.stream.connection import connect
from worker.stream.consume import consumer_count
from worker.stream.embedded import EmbeddedRedis
from worker.stream.fields import entry_time_ns, result_from_fields
from worker.stream.keys import LineKeys
from worker.stream.ledger import read_ledger
from worker.stream.publish import FramePublisher
from worker.stream.tail import Tail, last_id
from worker.types import Result

LINE = "bench"
Load = Callable[[dict[str, Any]], Settings]

_PATIENCE_S = 300.0
_ANSWER_TIMEOUT_S = 30.0
_SETTLE_S = 1.0  # before a window, so that queues stand as they will
_TICK_S = 0.02
_LEAST_BATCHES = 3  # a worker, in a window
_BATCHES_IN_QUEUE = 5  # a worker: more than it can have in hand
_SECONDS_IN_QUEUE = 0.3  # more than a camera pauses at a full queue


class _Commands(Processes):
    """Knows its processes by their ids too, and leaves nothing of them."""

    def pid(self, name: str) -> int:
        return self._running[name].pid

    def stop(self, name: str, patience_s: float = 30.0) -> None:
        leader = self.pid(name)
        super().stop(name, patience_s)
        end_group(leader)


@contextmanager
def open_line(load: Load, flags: dict[str, Any], frames: Path, folder: Path, stop: threading.Event) -> Iterator[Line]:
    """A line with a Redis, a camera with the frames, and no workers yet; ends all of it.

    Args:
        load: makes settings of flags, over the user's own file and environment.
        flags: the settings that the benchmark decides.
    """
    with EmbeddedRedis() as server:
        flags = flags | {
            "line": LINE,
            "redis.url": server.url,
            "metrics.port": free_port(9108),
            "log.format": "json",
        }
        settings = load(flags)
        variables = {f"LINE_{name.upper().replace('.', '__')}": str(value) for name, value in flags.items()}
        command = [sys.executable, "-P", "-m", "worker.bench.camera"]
        commands = _Commands(folder, variables)
        with commands, Talker("camera", command, inherited_environment(), folder, stop) as camera:
            camera.ask({"settings": to_json(settings), "frames": str(frames)}, _ANSWER_TIMEOUT_S)
            yield Line(settings, server, commands, camera, frames, stop)


class Line:
    """Starts the workers, has the camera publish, and measures."""

    def __init__(
        self,
        settings: Settings,
        server: EmbeddedRedis,
        commands: _Commands,
        camera: Talker,
        frames: Path,
        stop: threading.Event,
    ) -> None:
        self._settings = settings
        self._server = server
        self._commands = commands
        self._camera = camera
        self._frames = frames
        self._stop = stop
        self._keys = LineKeys(settings.line)
        self._client = connect(settings)
        self._workers = len(parse_devices(settings.devices))

    def start(self, shape: str, expected: set[Variant]) -> dict[str, float]:
        """Start `run` with a frame waiting; seconds until all workers are ready, and until the first verdict.

        Raises:
            LineError: a worker chose another engine than those expected: there would be nothing to compare.
        """
        with closing(FramePublisher(self._settings)) as publisher:
            publisher.publish(read_frames(self._frames, shape)[0])
        began, began_ns = time.monotonic(), time.time_ns()
        self._commands.start("run", "run")
        self._wait_until(lambda: consumer_count(self._client, self._keys) >= self._workers, "the workers are ready")
        ready_s = time.monotonic() - began
        tail = Tail(self._client, self._keys.results, result_from_fields, "0-0")
        first: list[Result] = []
        self._wait_until(lambda: first.extend(tail.read(1)) or first, "the first verdict")  # type: ignore[func-returns-value]
        chosen = Variant(first[0].engine, first[0].precision)
        if chosen not in expected:
            chosen_alone = " or ".join(map(str, expected))
            raise LineError(f"a worker chose {chosen}, not {chosen_alone} as the engine alone: name one of them")
        return {"ready": round(ready_s, 2), "first_verdict": round((entry_time_ns(first[0].id) - began_ns) / 1e9, 2)}

    def run_beside(self, *arguments: str) -> None:
        """Start another command on the line, as in `serve`."""
        self._commands.start(arguments[0], *arguments)

    def measure(self, shape: str, seconds: float, engine_fps: float, fps: float = 0.0) -> Flow:
        """Have the camera publish at a rate (0: as fast as the queue takes them), and look for so many seconds.

        Args:
            engine_fps: about how fast the device is, for a queue that is neither ever empty nor long.

        Raises:
            LineError: a process ended, or a frame got no inspection.
        """
        max_frames = self._settings.batch.max_batch * self._workers * _BATCHES_IN_QUEUE
        max_frames += round(engine_fps * _SECONDS_IN_QUEUE)
        after = last_id(self._client, self._keys.results)
        order = {"shape": shape, "fps": fps, "max_frames": max_frames}
        self._camera.ask(order, _ANSWER_TIMEOUT_S)
        pause(self._stop, _SETTLE_S)
        began = self._probe()
        self._watch(seconds)
        ended = self._probe()
        backlog = read_ledger(self._client, self._keys).backlog
        self._camera.ask({}, _ANSWER_TIMEOUT_S)
        self._drain()
        is_starved = not fps and backlog < max_frames / 2
        return flow_of(self._results(after), began, ended, is_starved)

    def memory(self) -> dict[str, float]:
        """MB of the largest worker and of the supervisor, now and at the highest."""
        supervisor = self._commands.pid("run")
        worker, worker_peak = map(max, zip(*map(usage.memory_mb, usage.children(supervisor)), strict=True))
        own, own_peak = usage.memory_mb(supervisor)
        return {"worker": worker, "worker_peak": worker_peak, "supervisor": own, "supervisor_peak": own_peak}

    def redis_version(self) -> str:
        """The server's."""
        told: list[str] = self._client.execute_command("INFO", "server").decode().splitlines()
        return next(line.partition(":")[2] for line in told if line.startswith("redis_version:"))

    def _watch(self, seconds: float) -> None:
        """So many seconds, and on a slow machine as long as a few batches take."""
        ended = self._ended() + self._settings.batch.max_batch * self._workers * _LEAST_BATCHES
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self._commands.check()
            pause(self._stop, min(1.0, left))
        self._wait_until(lambda: self._ended() >= ended, "some batches have their verdicts")

    def _ended(self) -> int:
        return sum(read_ledger(self._client, self._keys).verdicts.values())

    def _drain(self) -> None:
        self._wait_until(lambda: not read_ledger(self._client, self._keys).backlog, "all frames have their verdicts")

    def _wait_until(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while not condition():
            self._commands.check()
            if time.monotonic() > deadline:
                raise LineError(f"waited {_PATIENCE_S:.0f} s in vain until {what}")
            pause(self._stop, _TICK_S)

    def _probe(self) -> Probe:
        supervisor = self._commands.pid("run")
        pids = {"redis": [self._server.process.pid], "camera": [self._camera.pid], "supervisor": [supervisor]}
        pids["worker"] = usage.children(supervisor)
        cpu_s = {name: sum(map(usage.cpu_seconds, group)) for name, group in pids.items()}
        return Probe(time.time_ns(), cpu_s, usage.machine_cpu_seconds(), self._commit_seconds())

    def _commit_seconds(self) -> tuple[float, float]:
        """What the line's metrics say of commits so far: their seconds, summed over frames, and the frames."""
        metrics = self._settings.metrics
        with urllib.request.urlopen(f"http://{metrics.host}:{metrics.port}/metrics", timeout=10) as answer:
            families = text_string_to_metric_families(answer.read().decode())
            found = {
                one.name.rpartition("_")[2]: one.value
                for family in families
                for one in family.samples
                if family.name == "line_stage_seconds" and one.labels.get("stage") == "commit"
            }
        return found.get("sum", 0.0), found.get("count", 0.0)

    def _results(self, after: str) -> list[Result]:
        tail = Tail(self._client, self._keys.results, result_from_fields, after)
        return list(iter_until_empty(lambda: tail.read(500, block_ms=1)))


def iter_until_empty(read: Callable[[], list[Result]]) -> Iterator[Result]:
    """What `read` gives, call after call, until it gives nothing."""
    while page := read():
        yield from page
