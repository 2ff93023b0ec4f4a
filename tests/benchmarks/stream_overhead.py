"""What does a frame cost beside its decoding and the model: CPU of server, camera and each thread of a worker?

    .venv/bin/python tests/benchmarks/stream_overhead.py --report stream_overhead.json

A Redis, a camera that publishes one frame after the other, and a real worker with the demo's bundle, whose engine
sleeps in place of computing. What decoding costs is measured beforehand, in the same process. All figures are µs of
CPU a frame: with an engine that uses the cores the same work costs the same.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import redis
from stream_sides import Batch, Job, Side, begin, server_cpu_s

from worker.capture.generated import GeneratedLine
from worker.demo import MODEL
from worker.devices import Device
from worker.inference.bundle import load_bundle
from worker.inference.decode import decode
from worker.inference.engines.common import Synchronous
from worker.inference.predictor import Predictor
from worker.metrics import WorkerMetrics
from worker.runtime.inspect import Worker
from worker.runtime.progress import Progress
from worker.settings import Settings
from worker.stream.embedded import EmbeddedRedis
from worker.stream.publish import FramePublisher
from worker.types import Frame, Image

PICTURES = 32


def main() -> None:
    options = read_options()
    with EmbeddedRedis() as server, redis.Redis.from_url(server.url) as client:
        report = measure(options, server.url, client)
    for name, value in report.items():
        print(f"{name:>24} {value:>8.1f}")
    if options.report:
        options.report.write_text(json.dumps(report, indent=2) + "\n")


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=256, help="pixels of a frame's sides (default: 256)")
    parser.add_argument("--engine-ms", type=float, default=5.0, help="that the engine sleeps for a frame (default: 5)")
    parser.add_argument("--seconds", type=float, default=6.0, help="to measure (default: 6)")
    parser.add_argument("--set", nargs="*", default=[], metavar="SECTION.NAME=VALUE", help="settings of the line")
    parser.add_argument("--report", type=Path, help="write the figures to this file as JSON")
    return parser.parse_args()


def measure(options: argparse.Namespace, url: str, client: redis.Redis) -> dict[str, float]:
    """µs of CPU a frame, by who used it; with the frames a second and those a batch."""
    settings: dict[str, Any] = {"redis": {"url": url}, "queue": {"max_frames": 64}}
    for one in options.set:
        name, _, value = one.partition("=")
        section, _, name = name.partition(".")
        settings.setdefault(section, {})[name] = json.loads(value)
    engine = SleepingEngine(options.engine_ms / 1e3)
    report = {"decode alone": decode_us(settings, options.side)}
    camera = Side(publish_pictures, Job(settings, options.side, 1))
    with working(Settings(**settings), engine):
        window = begin([camera], options.seconds)
        server_cpu, threads, frames, batches = server_cpu_s(client), cpu_by_thread(), engine.frames, engine.batches
        window.wait_for_end()
        server_cpu, frames, batches = (
            server_cpu_s(client) - server_cpu,
            engine.frames - frames,
            engine.batches - batches,
        )
        after = cpu_by_thread()
        published = camera.result()
    report |= {
        "server": server_cpu / frames * 1e6,
        "camera": published.cpu_s / published.frames * 1e6,
        "worker": sum(after[name] - threads.get(name, 0.0) for name in after) / frames * 1e6,
    }
    report |= {f"worker {name}": (after[name] - threads.get(name, 0.0)) / frames * 1e6 for name in sorted(after)}
    report["beside decoding"] = report["server"] + report["camera"] + report["worker"] - report["decode alone"]
    return report | {"frames a second": frames / options.seconds, "frames a batch": frames / max(1, batches)}


class SleepingEngine(Synchronous):
    """Takes so long for each frame, and finds nothing in it."""

    name, precision = "none", "fp32"

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.frames = self.batches = 0

    def encode(self, image: Image) -> npt.NDArray[np.uint8]:
        return cv2.resize(image, (256, 256)) if image.shape[:2] != (256, 256) else image

    def run(self, batch: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        time.sleep(self._seconds * len(batch))
        self.frames += len(batch)
        self.batches += 1
        return np.zeros((len(batch), 256, 256), np.float32)


def pictures(side: int) -> list[bytes]:
    """JPEGs of the demo's parts."""
    line = GeneratedLine(1, size=side)
    drawn = [cv2.cvtColor(line.part(seq).image, cv2.COLOR_RGB2BGR) for seq in range(PICTURES)]
    return [cv2.imencode(".jpg", one, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes() for one in drawn]


def decode_us(settings: dict[str, Any], side: int) -> float:
    """µs of CPU for decoding a frame and nothing else."""
    limits, frames = Settings(**settings).limits, [Frame("c1", data) for data in pictures(side)]
    began, rounds = time.process_time(), max(1, 256 * 256 * 8 // side**2)
    for _ in range(rounds):
        for frame in frames:
            decode(frame, limits)
    return (time.process_time() - began) / rounds / len(frames) * 1e6


def publish_pictures(job: Job, stop: threading.Event) -> Batch:
    """A camera process: one frame after the other, as fast as there is room."""
    publisher, data, seq = FramePublisher(job.line()), pictures(job.size), 0

    def batch() -> int:
        nonlocal seq
        seq += 1
        publisher.publish(Frame("c1", data[seq % PICTURES], seq=seq, captured_at=time.time_ns()), stop)
        return 1

    return batch


@contextmanager
def working(settings: Settings, engine: SleepingEngine) -> Iterator[None]:
    """A worker in threads of this process."""
    cv2.setNumThreads(1)  # as in a worker
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        stop, progress = threading.Event(), Progress(Path(folder) / "w1.progress")
        progress.reset()
        predictor = Predictor(load_bundle(MODEL), engine, threshold=0.5)
        worker = Worker(settings, Device("cpu"), "w1", predictor, progress, WorkerMetrics("w1"), stop)
        thread = threading.Thread(target=worker.run, name="device")
        thread.start()
        yield
        stop.set()
        thread.join()


def cpu_by_thread() -> dict[str, float]:
    """Seconds of CPU of this process, by the name of the thread; those of the same kind together."""
    names = {thread.native_id: thread.name.partition("_")[0] for thread in threading.enumerate()}
    seconds: dict[str, float] = {}
    for task in Path("/proc/self/task").iterdir():
        fields = (task / "stat").read_text().rpartition(")")[2].split()
        name = names.get(int(task.name), "others")
        seconds[name] = seconds.get(name, 0.0) + (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return seconds


if __name__ == "__main__":
    main()
