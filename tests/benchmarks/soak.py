"""The whole line at full load for a while: what grows?

    .venv/bin/python tests/benchmarks/soak.py --minutes 30 --report soak.json

A Redis of its own (appendonly yes), `run` with two workers and the demo's model, `alerts`, and cameras that give as
many pictures as the queue lets them (policy block); one more gives files that are no pictures. The streams keep so
little that all of them are full within the warm-up. A figure is the median of a tenth of the soak: of the first one
after the warm-up, and of the last. Exits with 1 where memory of a process or of Redis grew by 2 % or more, where a
process has more open files or threads than after the warm-up, where one was replaced, or where the books do not
add up.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import redis

from worker.demo import MODEL
from worker.stream.embedded import EmbeddedRedis

sys.path.insert(0, str(Path(__file__).parents[1]))
from ports import free_port
from soak.judge import MEBI, judge
from soak.watch import Sample, Usage, inspected, latencies_ms, redis_figures, usage
from system.running import RunningLine

CAMERAS = 2
SIZE = 480  # pixels, of each side
BROKEN_FPS = 2.0
LAST_RESULTS = 20  # whose latencies are taken at a look
DRAIN_TIMEOUT_S = 1_200.0
KEPT = {"keep__results": 1_000, "keep__alerts": 50, "keep__dead": 50}


def main() -> None:
    options = read_options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is ended
    with tempfile.TemporaryDirectory(prefix="soak-") as scratch:
        report = soak(options, Path(scratch))
    show(report)
    if options.report:
        options.report.write_text(json.dumps(report, indent=2) + "\n")
    sys.exit(1 if report["faults"] else 0)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0, help="with the warm-up (default: 30)")
    parser.add_argument("--warmup-minutes", type=float, default=5.0, help="what may grow (default: 5)")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between looks (default: 5)")
    parser.add_argument("--model", type=Path, default=MODEL, help="the model folder (default: the demo's)")
    parser.add_argument("--queue-frames", type=int, default=1_000, help="that wait or are in work (default: 1000)")
    parser.add_argument("--report", type=Path, help="write figures and samples to this file as JSON")
    options = parser.parse_args()
    if options.minutes <= options.warmup_minutes:
        parser.error(f"--minutes must be more than the warm-up of {options.warmup_minutes:g}; see --warmup-minutes")
    return options


def soak(options: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Run the line and watch it; the report."""
    port = free_port()
    data = scratch / "redis"
    data.mkdir()
    with (
        EmbeddedRedis("--appendonly", "yes", "--dir", str(data)) as server,
        redis.Redis.from_url(server.url) as client,
        RunningLine(server.url, scratch, model=options.model, queue__max_frames=options.queue_frames, **KEPT) as line,
    ):
        line.start_workers("--metrics-port", str(port))
        line.start("alerts", "alerts")
        start_cameras(line, scratch)
        watch = Watch(server, client, line, port)
        samples = watch.follow(options.minutes * 60, options.every)
        for name in ("cameras", "broken"):
            line.stop(name)
        line.wait_until(lambda: line.ledger().backlog == 0, DRAIN_TIMEOUT_S, "every frame is inspected")
        books = line.ledger()
        deaths = line.events("run", "worker died")
    report = judge(samples, options.warmup_minutes * 60)
    report["faults"] += [f"{one['worker']} died: {one['reason']}" for one in deaths]
    report |= {"ledger_difference": books.difference, "produced": books.produced, "dead": books.dead}
    if books.difference or books.pending or books.uncounted:
        report["faults"].append(f"the books do not add up: {books}")
    report["samples"] = [as_row(one) for one in samples]
    return report


def start_cameras(line: RunningLine, scratch: Path) -> None:
    sources = [f"c{seed}=test://?seed={seed}&size={SIZE}" for seed in range(1, CAMERAS + 1)]
    line.start("cameras", "produce", *sources, queue__policy="block")
    (scratch / "broken").mkdir()
    (scratch / "broken" / "broken.jpg").write_bytes(b"\xff\xd8 no picture")
    line.start("broken", "produce", str(scratch / "broken"), "--camera", "x", "--loop", "--fps", str(BROKEN_FPS))


class Watch:
    """Looks at every process of the line, by its role."""

    def __init__(self, server: EmbeddedRedis, client: redis.Redis, line: RunningLine, port: int) -> None:
        self._server, self._client, self._line, self._port = server, client, line, port
        self._frames = 0

    def follow(self, seconds: float, every_s: float) -> list[Sample]:
        samples: list[Sample] = []
        began = time.monotonic()
        while (at := time.monotonic() - began) < seconds:
            samples.append(self._look(at))
            tell(samples)
            time.sleep(max(0.0, every_s - (time.monotonic() - began - at)))
        return samples

    def _look(self, at: float) -> Sample:
        self._frames = max(self._frames, inspected(self._port))
        return Sample(
            at,
            {name: found for name, pid in self._pids().items() if (found := usage(pid))},
            redis_figures(self._client),
            self._frames,
            *latencies_ms(self._line.client, self._line.keys.results, LAST_RESULTS),
        )

    def _pids(self) -> dict[str, int]:
        commands = {name: self._line.pid(name) for name in ("run", "alerts", "cameras", "broken")}
        workers = {f"worker {slot}": pid for slot, pid in enumerate(self._line.worker_pids().values())}
        return {"redis": self._server.process.pid} | commands | workers


def tell(samples: list[Sample]) -> None:
    """A line a minute, so that one sees that it goes on."""
    now = samples[-1]
    if len(samples) == 1 or now.at // 60 == samples[-2].at // 60:
        return
    held = "  ".join(f"{name} {one.rss / MEBI:.1f}" for name, one in now.processes.items())
    print(f"{now.at / 60:4.0f} min  {now.frames} frames  MiB: {held}", flush=True)


def as_row(sample: Sample) -> dict[str, Any]:
    def held(one: Usage) -> list[int]:
        return [one.rss, one.anonymous, one.fds, one.threads]

    processes = {name: held(one) for name, one in sample.processes.items()}
    row = {"at": round(sample.at, 1), "frames": sample.frames, "redis": sample.redis, "processes": processes}
    return row | {"latencies_ms": sample.latencies_ms, "work_ms": sample.work_ms}


def show(report: dict[str, Any]) -> None:
    print(f"\n{'':<12}{'RSS MiB':>10}{'at the end':>12}{'growth':>9}{'own':>8}{'growth':>9}{'fds':>10}{'threads':>10}")
    for name, row in report["processes"].items():
        rss, own = row["rss"], row["anonymous"]
        print(
            f"{name:<12}{rss['before'] / MEBI:>10.1f}{rss['after'] / MEBI:>12.1f}{rss['growth']:>+9.2%}"
            f"{own['after'] / MEBI:>8.1f}{own['growth']:>+9.2%}{span(row['fds']):>10}{span(row['threads']):>10}"
        )
    for name, one in report["redis"].items():
        print(f"{name:<16}{one['before'] / MEBI:>6.1f}{one['after'] / MEBI:>12.1f}{one['growth']:>+9.2%}")
    fps, whole, work = report["fps"], report["latency_ms"]["p99"], report["work_ms"]["p99"]
    print(f"\n{report['produced']} frames in {report['seconds']:.0f} s, {report['dead']} of them dead letters")
    print(f"frames/s: {fps['first']} in the first {report['warmup_s']:.0f} s, {fps['last']} in the last")
    print(
        f"p99 from publish to verdict, a full queue: {whole['first']} ms after the warm-up, {whole['last']} at the end"
    )
    print(f"p99 from the worker's read to the verdict: {work['first']} ms after the warm-up, {work['last']} at the end")
    print(f"ledger difference {report['ledger_difference']}")
    print("\n".join(f"FAULT: {fault}" for fault in report["faults"]) or "nothing grew")


def span(figure: dict[str, int]) -> str:
    low, high = figure["min"], figure["max"]
    return f"{low}" if low == high else f"{low}-{high}"


if __name__ == "__main__":
    main()
