"""How many frames a second does the stream side alone carry, with an engine that costs nothing?

    .venv/bin/python tests/benchmarks/stream_capacity.py --report stream_capacity.json
    .venv/bin/python tests/benchmarks/stream_capacity.py --profile --sizes 100000

One publisher, one consumer and a Redis, a process each. In the same run: redis-py with hiredis and the fewest commands
that do it (`bare`), and the project's own classes (`own`), which also keep the books, write results, bound the queue
and survive lost answers. Rounds take turns, and the figures are medians of them. CPU is in µs a frame, for the
publisher, the consumer and the server. `others` is how many cores everything else on the machine used meanwhile: with
more than a few hundredths the frames a second say little, and the CPU a frame says more.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
from stream_sides import (
    MOST_WAITING,
    Done,
    Job,
    Side,
    begin,
    consume_bare,
    consume_own,
    machine_cpu_s,
    publish_bare,
    publish_own,
    server_cpu_s,
)

from worker.stream.embedded import EmbeddedRedis

KINDS = {"bare": (publish_bare, consume_bare), "own": (publish_own, consume_own)}


def main() -> None:
    options = read_options()
    rows = [measure(options, size) for size in options.sizes]
    show(rows)
    if options.profile:
        profile(options)
    if options.report:
        options.report.write_text(json.dumps({"cores": os.cpu_count(), "batch": options.batch, "rows": rows}, indent=2))


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 100_000, 300_000], help="bytes a frame")
    parser.add_argument("--batch", type=int, default=16, help="frames a batch (default: 16)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of a round (default: 3)")
    parser.add_argument("--rounds", type=int, default=3, help="of each kind, in turns (default: 3)")
    parser.add_argument("--profile", action="store_true", help="show what limits it")
    parser.add_argument("--report", type=Path, help="write the figures to this file as JSON")
    return parser.parse_args()


def measure(options: argparse.Namespace, size: int) -> dict[str, Any]:
    """Both kinds with frames of so many bytes: the medians of their rounds."""
    rounds: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
    for _ in range(options.rounds):
        for kind, found in rounds.items():
            found.append(figures(run(options, size, kind)))
    row: dict[str, Any] = {"size": size}
    for kind, found in rounds.items():
        row[kind] = {name: statistics.median(one[name] for one in found) for name in found[0]}
    row["ratio"] = row["own"]["fps"] / row["bare"]["fps"]
    return row


@dataclass(frozen=True)
class Round:
    """What publisher, consumer and server did; `others` is in cores, and `commands` is the server's commandstats."""

    published: Done
    consumed: Done
    server_cpu_s: float
    others: float
    commands: dict[str, Any]


def run(options: argparse.Namespace, size: int, kind: str, *, profiled: bool = False) -> Round:
    """One round of one kind."""
    publish, consume = KINDS[kind]
    with EmbeddedRedis() as server, redis.Redis.from_url(server.url) as client:
        settings = {"redis": {"url": server.url}, "queue": {"max_frames": MOST_WAITING, "max_bytes": 2**30}}
        job = Job(settings, size, options.batch, profile=profiled)
        sides = [Side(consume, job), Side(publish, job)]
        window = begin(sides, options.seconds)
        client.config_resetstat()
        server_cpu, machine_cpu = server_cpu_s(client), machine_cpu_s()
        window.wait_for_end()
        server_cpu, machine_cpu = server_cpu_s(client) - server_cpu, machine_cpu_s() - machine_cpu
        commands = client.info("commandstats")
        consumed, published = (side.result() for side in sides)
    others = (machine_cpu - server_cpu - consumed.cpu_s - published.cpu_s) / options.seconds
    return Round(published, consumed, server_cpu, max(0.0, others), commands)


def figures(done: Round) -> dict[str, float]:
    """Frames a second, µs of CPU a frame by process, and the cores that others used."""
    frames = max(1, done.consumed.frames)
    return {
        "fps": done.consumed.frames / done.consumed.seconds,
        "publisher_us": done.published.cpu_s / max(1, done.published.frames) * 1e6,
        "consumer_us": done.consumed.cpu_s / frames * 1e6,
        "server_us": done.server_cpu_s / frames * 1e6,
        "others": done.others,
    }


def show(rows: list[dict[str, Any]]) -> None:
    columns = f"{'publisher':>10} {'consumer':>9} {'server':>7} {'sum':>6} µs a frame, others"
    print(f"{'bytes':>8} {'kind':>5} {'frames/s':>9} {columns}")
    for row in rows:
        for kind in KINDS:
            one = row[kind]
            parts = [one[name] for name in ("publisher_us", "consumer_us", "server_us")]
            shown = f"{parts[0]:>10.0f} {parts[1]:>9.0f} {parts[2]:>7.0f} {sum(parts):>6.0f} {one['others']:>18.2f}"
            print(f"{row['size']:>8} {kind:>5} {one['fps']:>9.0f} {shown}")
        print(f"{'':>8} own / bare: {row['ratio']:.2f}")


def profile(options: argparse.Namespace) -> None:
    """Where the CPU of each process goes. The profiler slows the two down, so that only the shares count."""
    for size in options.sizes:
        done = run(options, size, "own", profiled=True)
        print(f"\n== {size} bytes a frame: the publisher\n{done.published.profile}")
        print(f"== the consumer: the thread that decodes and commits\n{done.consumed.profile}")
        print("== the server: commands by µs a frame, those within scripts too")
        by_time = sorted(done.commands.items(), key=lambda pair: -pair[1]["usec"])
        for name, told in by_time[:16]:
            per_frame = told["usec"] / max(1, done.consumed.frames)
            calls = told["calls"] / max(1, done.consumed.frames)
            print(f"{name.removeprefix('cmdstat_'):>24} {per_frame:>8.1f} µs {calls:>7.2f} calls")


if __name__ == "__main__":
    main()
