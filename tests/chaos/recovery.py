"""How long a line takes to come back, at the default settings: measured, not promised.

    .venv/bin/python tests/chaos/recovery.py --times 3

- Redis killed under load and started again a second later: seconds from its first answer to the next verdict.
- A worker killed with frames in hand, its supervisor alive: seconds until the last of these frames has its verdict.
- A whole box lost, supervisor and worker, while another one serves the line: the same.
- A device that hangs: seconds from the frame's delivery until the worker is killed, and until its successor is ready.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
import models
from cameras import Camera
from cores import two_devices
from pictures import HANGER, Pictures, trap
from servers import SingleRedis
from stack import READY_TIMEOUT_S, Service, Stack, wait_until
from witness import Witness

from worker.stream.consume import consumer_count
from worker.stream.keys import GROUP_INSPECT


class Line:
    """A stack with the default patience, two workers in two supervisors, a camera and a witness."""

    def __init__(self, folder: Path, redis: SingleRedis) -> None:
        self.redis = redis
        self.stack = Stack(
            redis.url, redis.direct_url, folder, models.bare_export(), "cheap", {"queue.max_frames": 200}
        )
        self.client = self.stack.connect()
        self._stop = threading.Event()
        self.witness = Witness(self.stack, self._stop)
        self.camera = Camera("steady", self.stack.camera_settings("block"), Pictures(1), self._stop, 100.0)
        first, second = two_devices().split(",")
        environment = self.stack.run.environment
        self.boxes = [
            Service(f"box{place}", ["run"], environment | {"LINE_DEVICES": device}, folder)
            for place, device in enumerate((first, second))
        ]

    def start(self) -> None:
        for box in self.boxes:
            box.start()
        self.wait_for_workers()
        self.witness.start()
        self.camera.start()
        wait_until(lambda: len(self.witness.results) > 200, READY_TIMEOUT_S, "verdicts flow")

    def wait_for_workers(self) -> None:
        wait_until(lambda: consumer_count(self.client, self.stack.keys) == 2, READY_TIMEOUT_S, "two workers are ready")

    def stop(self) -> None:
        self._stop.set()
        for box in self.boxes:
            box.stop()

    def in_hand(self, worker: str) -> set[str]:
        """The frames pending under a worker's name."""
        page = self.client.execute_command("XPENDING", self.stack.keys.frames, GROUP_INSPECT, "-", "+", 1_000, worker)
        return {entry[0].decode() for entry in page}

    def name_of(self, box: Service) -> str:
        """The worker of a box."""
        return next(event["worker"] for event in events(box) if event["event"] == "worker started")


def events(service: Service) -> Iterator[dict[str, object]]:
    """The lines of a service's log."""
    for line in service.log.read_text().splitlines():
        if line.startswith("{"):
            with suppress(json.JSONDecodeError):
                yield json.loads(line)


@contextmanager
def frozen_with_frames(line: Line, box: Service) -> Iterator[set[str]]:
    """Stop a worker while it has frames in hand, and say which."""
    pid, name = box.children()[0], line.name_of(box)
    while True:
        os.kill(pid, signal.SIGSTOP)
        time.sleep(0.05)  # what it had sent to Redis is done by then
        if in_hand := line.in_hand(name):
            break
        os.kill(pid, signal.SIGCONT)
        time.sleep(0.01)
    yield in_hand


def redis_killed(line: Line) -> float:
    """Seconds from Redis' first answer to the next verdict."""
    line.redis.server.kill()
    time.sleep(1.0)
    line.redis.server.start()
    back = time.time()
    wait_until(lambda: line.witness.results[-1] > back, 60, "verdicts flow again")
    return next(at for at in line.witness.results if at > back) - back


def worker_killed(line: Line) -> float:
    """Seconds until the frames that it had in hand are ended."""
    box = line.boxes[0]
    with frozen_with_frames(line, box) as in_hand:
        os.kill(box.children()[0], signal.SIGKILL)
    return wait_until(lambda: all(frame in line.witness.ends for frame in in_hand), 120, "its frames are ended")


def box_lost(line: Line) -> float:
    """Seconds until another box has ended the frames that it had in hand."""
    box = line.boxes[0]
    with frozen_with_frames(line, box) as in_hand:
        children = box.children()
        box.signal(signal.SIGKILL)
        for pid in children:
            os.kill(pid, signal.SIGKILL)
    box.wait()
    took = wait_until(lambda: all(frame in line.witness.ends for frame in in_hand), 120, "its frames are ended")
    box.start()
    wait_until(box.children, 60, "the box is back")
    time.sleep(5)
    return took


def device_hangs(line: Line) -> tuple[float, float]:
    """Seconds until the worker is killed, and until its successor is ready."""
    lines_before = {id(box): len(list(events(box))) for box in line.boxes}
    fields = ["camera", "hanger", "data", trap(HANGER)]
    line.client.execute_command("XADD", line.stack.keys.frames, "*", *fields)
    started = time.monotonic()
    times: dict[str, float] = {}

    def seen(event: str) -> bool:
        for box in line.boxes:
            if any(one["event"] == event for one in list(events(box))[lines_before[id(box)] :]):
                times.setdefault(event, time.monotonic() - started)
                return True
        return False

    wait_until(lambda: seen("worker killed"), 120, "the worker is killed")
    wait_until(lambda: seen("worker ready"), 120, "its successor is ready")
    return times["worker killed"], times["worker ready"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=3, help="measure each so often; the hang once")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="line-worker-recovery-") as folder:
        redis = SingleRedis(Path(folder), "everysec")
        line = Line(Path(folder), redis)
        try:
            line.start()
            work = line.stack.settings.work
            show("Redis killed: verdicts again after its return", [redis_killed(line) for _ in range(options.times)])
            show("worker killed: its frames ended", [worker_killed(line) for _ in range(options.times)])
            show(f"box lost (claim_idle_ms {work.claim_idle_ms}): its frames ended by another",
                 [box_lost(line) for _ in range(options.times)])  # fmt: skip
            killed, ready = device_hangs(line)
            show(f"device hangs (hang_timeout_s {work.hang_timeout_s:g}): worker killed", [killed])
            show("device hangs: successor ready", [ready])
        finally:
            line.stop()
            redis.stop()


def show(what: str, seconds: list[float]) -> None:
    print(f"{what:75} {'  '.join(f'{value:.1f} s' for value in seconds)}", flush=True)


if __name__ == "__main__":
    main()
