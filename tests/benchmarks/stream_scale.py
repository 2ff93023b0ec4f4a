"""How many frames a second does one Redis carry, with how many workers and cameras, and what does a Cluster add?

    .venv/bin/python tests/benchmarks/stream_scale.py --report stream_scale.json

Workers whose engine sleeps, so that only the stream is at work: N of them can do N × batch / engine_ms frames a second.
Where `share`, what of that arrives, falls, something is full: with the server's CPU near one core it is Redis, which
does everything in one thread; with `machine` near the number of cores it is this machine, on which cameras and workers
run too, so that the figure is no limit of Redis. `server µs` is the honest figure: a core's 1,000,000 µs divided by it
are the frames a second of one Redis with a core to itself.

The last rows are a line on one shard of a real Cluster, and two lines on two shards at the same time: each shard has a
thread of its own, so that two lines carry twice as much as long as there are cores for all. What shows that nothing is
lost is that a frame costs each shard the same with and without the other. It costs more than on the single Redis above:
these shards write an append-only file, and the first line's has a replica.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import redis
from stream_sides import Done, Job, Side, begin, consume_own, machine_cpu_s, publish_own, server_cpu_s

from worker.stream.embedded import EmbeddedRedis

sys.path.insert(0, str(Path(__file__).parents[1]))
from redis_cluster import Cluster

ON_SHARD = (2, 1)  # workers and cameras: few enough that two cores are not full
QUEUE = {"max_frames": 256, "max_bytes": 2**30}


def main() -> None:
    options = read_options()
    show_head()
    rows = [one_redis(options, workers, cameras) for workers in options.workers for cameras in options.cameras]
    rows += two_shards(options) if options.cluster else []
    if options.report:
        report = {"cores": os.cpu_count(), "bytes": options.size, "batch": options.batch, "rows": rows}
        options.report.write_text(json.dumps(report | {"engine_ms": options.engine_ms}, indent=2) + "\n")


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8], help="(default: 1 2 4 8)")
    parser.add_argument("--cameras", type=int, nargs="+", default=[1, 4], help="(default: 1 4)")
    parser.add_argument("--size", type=int, default=100_000, help="bytes a frame (default: 100000)")
    parser.add_argument("--batch", type=int, default=8, help="frames a batch (default: 8)")
    parser.add_argument("--engine-ms", type=float, default=20.0, help="that a batch's engine sleeps (default: 20)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each row (default: 3)")
    parser.add_argument("--no-cluster", dest="cluster", action="store_false", help="leave the Cluster out")
    parser.add_argument("--report", type=Path, help="write the figures to this file as JSON")
    return parser.parse_args()


@dataclass(frozen=True)
class Line:
    """A line, the server that holds it, and who works on it."""

    name: str
    url: str
    server: redis.Redis
    workers: int
    cameras: int


def one_redis(options: argparse.Namespace, workers: int, cameras: int) -> dict[str, Any]:
    with EmbeddedRedis() as server, redis.Redis.from_url(server.url) as client:
        return measure(options, "one Redis", [Line("line1", server.url, client, workers, cameras)])[0]


def two_shards(options: argparse.Namespace) -> list[dict[str, Any]]:
    """One line on its shard of a Cluster; then a line on each of two, at the same time."""
    with Cluster(line="line1") as cluster:
        there, elsewhere = cluster.owner().client, cluster.other().client
        other = next(name for name in map("line{}".format, range(2, 100)) if held_by(elsewhere, name))
        lines = [
            Line("line1", cluster.url, there, *ON_SHARD),
            Line(other, cluster.url, elsewhere, *ON_SHARD),
        ]
        return [*measure(options, "one shard", lines[:1]), *measure(options, "two shards", lines)]


def held_by(node: redis.Redis, line: str) -> bool:
    """Whether this node of a Cluster serves the line."""
    try:
        node.exists(f"{{{line}}}:frames")
    except redis.exceptions.MovedError:
        return False
    return True


def measure(options: argparse.Namespace, what: str, lines: list[Line]) -> list[dict[str, Any]]:
    """The lines at work at the same time: a row each."""
    consumers = {line.name: start(options, line, "w", line.workers) for line in lines}
    publishers = {line.name: start(options, line, "c", line.cameras) for line in lines}
    window = begin(chain(*consumers.values(), *publishers.values()), options.seconds)
    servers, machine = {line.name: server_cpu_s(line.server) for line in lines}, machine_cpu_s()
    window.wait_for_end()
    servers = {line.name: server_cpu_s(line.server) - servers[line.name] for line in lines}
    machine = (machine_cpu_s() - machine) / options.seconds
    rows = []
    for line in lines:
        consumed = [side.result() for side in consumers[line.name]]
        published = [side.result() for side in publishers[line.name]]
        rows.append(row(options, f"{what}: {line.name}", line, consumed, published, servers[line.name]))
        rows[-1]["machine_cores"] = machine
        show(rows[-1])
    return rows


def start(options: argparse.Namespace, line: Line, kind: str, count: int) -> list[Side]:
    settings = {"line": line.name, "redis": {"url": line.url}, "queue": QUEUE}
    make, batch = (consume_own, options.batch) if kind == "w" else (publish_own, 1)
    names = [f"{kind}{number}" for number in range(count)]
    return [Side(make, Job(settings, options.size, batch, name, engine_s=options.engine_ms / 1e3)) for name in names]


def row(
    options: argparse.Namespace, what: str, line: Line, consumed: list[Done], published: list[Done], server_cpu: float
) -> dict[str, Any]:
    frames = max(1, sum(one.frames for one in consumed))
    fps = sum(one.frames / one.seconds for one in consumed)
    return {
        "what": what,
        "workers": line.workers,
        "cameras": line.cameras,
        "fps": fps,
        "share": fps / (line.workers * options.batch / options.engine_ms * 1e3),
        "server_us": server_cpu / frames * 1e6,
        "server_cores": server_cpu / options.seconds,
        "worker_us": sum(one.cpu_s for one in consumed) / frames * 1e6,
        "camera_us": sum(one.cpu_s for one in published) / max(1, sum(one.frames for one in published)) * 1e6,
    }


def show_head() -> None:
    costs = f"{'server µs':>10} {'worker µs':>10} {'camera µs':>10} {'server':>7} {'machine':>8} cores"
    print(f"{'':>20} {'workers':>8} {'cameras':>8} {'frames/s':>9} {'share':>6} {costs}")


def show(one: dict[str, Any]) -> None:
    costs = f"{one['server_us']:>10.0f} {one['worker_us']:>10.0f} {one['camera_us']:>10.0f}"
    cores = f"{one['server_cores']:>7.2f} {one['machine_cores']:>8.2f}"
    print(
        f"{one['what']:>20} {one['workers']:>8} {one['cameras']:>8} {one['fps']:>9.0f} {one['share']:>6.2f} {costs}"
        f" {cores}",
        flush=True,
    )


if __name__ == "__main__":
    main()
