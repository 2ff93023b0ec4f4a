"""What publishes and what consumes in the benchmarks of the stream: a loop each, in a process of its own.

A side runs until its window is over and counts only what it did within it. `bare` is redis-py with hiredis and the
fewest commands that do it; `own` is the project's classes, with everything that the line promises.
"""

from __future__ import annotations

import cProfile
import io
import multiprocessing
import os
import pstats
import queue
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import redis

from worker.settings import Settings
from worker.stream.commit import Committer, Finished, Outcome
from worker.stream.connection import connect
from worker.stream.consume import Delivery, FrameConsumer
from worker.stream.fields import frame_from_fields
from worker.stream.keys import GROUP_INSPECT, LineKeys
from worker.stream.publish import FramePublisher
from worker.types import Frame, Result, Verdict

MOST_WAITING = 256  # frames: enough that nobody waits for the other side, few enough to fit into memory
WARM_UP_S = 0.5
LABEL_MAP = bytes(150)  # as many bytes as the PNG of an empty labelMap of 256×256 has


@dataclass(frozen=True)
class Window:
    """When to measure, in seconds of the monotonic clock, which all processes of a machine share."""

    begin: float
    end: float

    @classmethod
    def after(cls, warm_up_s: float, seconds: float) -> Window:
        """One that begins so much later: by then all processes are at work."""
        begin = time.monotonic() + warm_up_s
        return cls(begin, begin + seconds)

    def wait_for_begin(self) -> None:
        time.sleep(max(0.0, self.begin - time.monotonic()))

    def wait_for_end(self) -> None:
        time.sleep(max(0.0, self.end - time.monotonic()))


@dataclass(frozen=True)
class Job:
    """What a side is to do: frames of `size` bytes, in batches of `batch`."""

    settings: dict[str, Any]
    size: int
    batch: int
    name: str = "w1"
    engine_s: float = 0.0  # that a batch's engine sleeps
    profile: bool = False

    def line(self) -> Settings:
        """The settings of the line."""
        return Settings(**self.settings)


@dataclass(frozen=True)
class Done:
    """What a side did in its window: frames, seconds, seconds of CPU (all threads), and its profile as text."""

    frames: int
    seconds: float
    cpu_s: float
    profile: str = ""


Batch = Callable[[], int]
"""One batch; how many frames it was."""

Make = Callable[[Job, threading.Event], Batch]
"""Connects; the batches that it makes wait for nothing once the event is set."""


def publish_bare(job: Job, stop: threading.Event) -> Batch:
    """XADD pipelined; an XLEN in each batch bounds the queue."""
    client, keys = bare_client(job), LineKeys(job.line().line)
    data = os.urandom(job.size)

    def batch() -> int:
        pipeline = client.pipeline(transaction=False)
        for _ in range(job.batch):
            pipeline.xadd(keys.frames, {"camera": "c1", "data": data})
        pipeline.xlen(keys.frames)
        waiting = pipeline.execute()[-1]
        while waiting >= MOST_WAITING and not stop.is_set():
            time.sleep(0.001)
            waiting = client.xlen(keys.frames)
        return job.batch

    return batch


def consume_bare(job: Job, _stop: threading.Event) -> Batch:
    """XREADGROUP, then XACK and XDEL pipelined."""
    client, keys = bare_client(job), LineKeys(job.line().line)
    make_group(client, keys)

    def batch() -> int:
        reply = client.xreadgroup(GROUP_INSPECT, job.name, {keys.frames: ">"}, count=job.batch, block=100)
        ids = [entry_id for entry_id, _ in reply[0][1]] if reply else []
        if ids:
            pipeline = client.pipeline(transaction=False)
            pipeline.xack(keys.frames, GROUP_INSPECT, *ids)
            pipeline.xdel(keys.frames, *ids)
            pipeline.execute()
        return len(ids)

    return batch


def publish_own(job: Job, stop: threading.Event) -> Batch:
    """Frames as a camera process publishes them, as many at once as a batch has."""
    publisher = FramePublisher(job.line())
    data, seq = os.urandom(job.size), 0

    def batch() -> int:
        nonlocal seq
        now, seq = time.time_ns(), seq + job.batch
        frames = [Frame(job.name, data, seq=one, captured_at=now) for one in range(seq - job.batch, seq)]
        return len(publisher.publish_many(frames, stop))

    return batch


def consume_own(job: Job, _stop: threading.Event) -> Batch:
    """Frames as a worker reads and commits them, by a thread each; its engine costs nothing, or sleeps."""
    settings = job.line()
    keys = LineKeys(settings.line)
    consumer = FrameConsumer(connect(settings), keys, job.name, settings.work.claim_idle_ms)
    consumer.join()
    committer = Committer(connect(settings), keys, settings.keep)
    in_hand: queue.Queue[list[Delivery]] = queue.Queue(2)

    def read() -> None:
        while True:
            in_hand.put(consumer.read(job.batch, block_ms=100))

    def judge(delivery: Delivery) -> Outcome:
        frame = frame_from_fields(delivery.id, delivery.flat, settings.limits, time.time_ns())
        return Finished(
            Result(
                frame=frame.id, camera=frame.camera, verdict=Verdict.OK, seq=frame.seq, captured_at=frame.captured_at,
                published_at=frame.published_at, score=0.001, threshold=0.01, size=(256, 256), image_size=(256, 256),
                label_map=LABEL_MAP, model="m@1", engine="none", device="cpu", worker=job.name,
                timings={"queue": 1.0, "decode": 1.0, "infer": 1.0},
            ),
            frame.reply_to,
        )  # fmt: skip

    def batch() -> int:
        outcomes = [judge(delivery) for delivery in in_hand.get()]
        if outcomes and job.engine_s:
            time.sleep(job.engine_s)
        return sum(committer.commit(outcomes))

    threading.Thread(target=read, daemon=True).start()
    return batch


def bare_client(job: Job) -> redis.Redis:
    """redis-py as it is, with hiredis, which it takes where it is installed."""
    return redis.Redis.from_url(job.line().redis.url.get_secret_value())


def make_group(client: redis.Redis, keys: LineKeys) -> None:
    try:
        client.xgroup_create(keys.frames, GROUP_INSPECT, "0", mkstream=True)
    except redis.ResponseError as error:
        if "BUSYGROUP" not in str(error):
            raise


def server_cpu_s(client: redis.Redis) -> float:
    """Seconds of CPU that the server has used."""
    told = client.info("cpu")
    return float(told["used_cpu_user"] + told["used_cpu_sys"])


def machine_cpu_s() -> float:
    """Seconds of CPU that anything on this machine has used: all of /proc/stat but idle and waiting for disks."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


class Side:
    """A process that does a job, batch by batch, until its window is over; see `begin`."""

    def __init__(self, make: Make, job: Job) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._pipe, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_run, args=(make, job, theirs), daemon=True)
        self._process.start()

    def wait_until_ready(self) -> None:
        self._pipe.recv()

    def begin(self, window: Window) -> None:
        self._pipe.send(window)

    def result(self) -> Done:
        """What it did; waits for its end."""
        done: Done = self._pipe.recv()
        self._process.join()
        return done


def begin(sides: Iterable[Side], seconds: float) -> Window:
    """Have all begin together, once all have started: starting takes far more CPU than a frame."""
    sides = list(sides)
    for side in sides:
        side.wait_until_ready()
    window = Window.after(WARM_UP_S, seconds)
    for side in sides:
        side.begin(window)
    window.wait_for_begin()
    return window


def _run(make: Make, job: Job, pipe: Connection) -> None:
    stop, profiler = threading.Event(), cProfile.Profile()
    batch = make(job, stop)
    pipe.send("ready")
    window: Window = pipe.recv()
    threading.Thread(target=lambda: (window.wait_for_end(), stop.set()), daemon=True).start()
    while time.monotonic() < window.begin:
        batch()
    if job.profile:
        profiler.enable()
    frames, began, cpu = 0, time.monotonic(), time.process_time()
    while time.monotonic() < window.end:
        frames += batch()
    seconds, cpu_s = time.monotonic() - began, time.process_time() - cpu
    profiler.disable()
    pipe.send(Done(frames, seconds, cpu_s, _hottest(profiler) if job.profile else ""))


def _hottest(profiler: cProfile.Profile) -> str:
    text = io.StringIO()
    pstats.Stats(profiler, stream=text).sort_stats("tottime").print_stats(12)
    return text.getvalue()
