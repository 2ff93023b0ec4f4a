"""Lines on the shards of a Redis Cluster: what three of them carry, and what a failover costs each.

    .venv/bin/python tests/benchmarks/cluster_lines.py --report cluster_lines.json

First one, two and three lines on one shard and on three, with engines that sleep (see stream_scale.py, whose columns
these are). Then three whole lines of real processes, each on a shard of its own, with cameras, a worker whose engine
costs nothing, an alert process and, on the first line, the HTTP service. That line's primary is killed with SIGKILL,
its replica takes over, and the killed one comes back as a replica `--back-after` seconds later. Told is, for each case:

- `stall`: the longest time that a camera was without a verdict, on the struck line, and on the worse of the others.
- `lost`: frames of which the cameras were told that they are on the line, and that no verdict was given on: the new
  primary never had them, and its ledger neither, so that `difference` is 0 all the same. `doubled`: pictures with two.
- `HTTP`: the longest time without a verdict by HTTP, and the statuses that were answered.

In the cases with a lag the replica stands still for `--lag` seconds before the kill, as one does that is short of CPU
or behind a slow network: what the primary took meanwhile, and could not hand over to the network, is lost with it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from ports import free_port
from redis_cluster import ReplicatedCluster, names_on
from redis_servers import wait_for
from shard_lines import READY_TIMEOUT_S, Requester, ShardLine
from stream_scale import ON_SHARD, Line, measure, show_head

COVERAGE = "--cluster-require-full-coverage"


@dataclass(frozen=True)
class Case:
    """How the Cluster and the publishers are set, and whether the replica lags."""

    wait_replicas: int
    full_coverage: str
    lags: bool
    replicas: int = 1

    def __str__(self) -> str:
        lag = "lags" if self.lags else ""
        return f"{self.replicas} replica, wait for {self.wait_replicas}, full coverage {self.full_coverage:3} {lag}"


CASES = [
    Case(0, "yes", lags=False),
    Case(0, "no", lags=False),
    Case(1, "no", lags=False),
    Case(1, "no", lags=False, replicas=2),
    Case(0, "no", lags=True),
    Case(1, "no", lags=True),
]


@dataclass(frozen=True)
class Felt:
    """What one failover did."""

    case: str
    stall_s: float
    stall_of_others_s: float
    published: int
    lost: int
    doubled: int
    difference: int
    http_stall_s: float
    http_statuses: dict[int, int]


def main() -> None:
    options = read_options()
    report: dict[str, Any] = {"node_timeout_ms": options.node_timeout_ms}
    if options.throughput:
        report["throughput"] = throughput(options)
    if options.failover:
        report["failover"] = failovers(options)
    if options.report:
        options.report.write_text(json.dumps(report, indent=2) + "\n")


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=100_000, help="bytes a frame, of the throughput (default: 100000)")
    parser.add_argument("--batch", type=int, default=8, help="frames a batch, of the same (default: 8)")
    parser.add_argument("--engine-ms", type=float, default=20.0, help="that a batch's engine sleeps (default: 20)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each row of the throughput (default: 3)")
    parser.add_argument("--node-timeout-ms", type=int, default=2_000, help="cluster-node-timeout (default: 2000)")
    parser.add_argument("--frames", type=int, default=500, help="of each of two cameras a line (default: 500)")
    parser.add_argument("--fps", type=float, default=15.0, help="of each camera (default: 15)")
    parser.add_argument("--back-after", type=float, default=5.0, help="seconds from takeover to return (default: 5)")
    parser.add_argument("--lag", type=float, default=1.5, help="seconds that a replica stands still (default: 1.5)")
    parser.add_argument("--times", type=int, default=1, help="failovers of each case (default: 1)")
    parser.add_argument("--no-throughput", dest="throughput", action="store_false", help="leave the first part out")
    parser.add_argument("--no-failover", dest="failover", action="store_false", help="leave the second part out")
    parser.add_argument("--report", type=Path, help="write the figures to this file as JSON")
    return parser.parse_args()


def throughput(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Rows of one, two and three lines on one shard, then on three."""
    show_head()
    rows = []
    with ReplicatedCluster(options.node_timeout_ms) as cluster:
        for shards, names in (("one shard", names_on(0, 3)), ("three shards", cluster.lines)):
            for count in (1, 2, 3):
                lines = [Line(name, cluster.url, cluster.primary_of(name).client, *ON_SHARD) for name in names[:count]]
                parts = measure(options, shards, lines)
                rows.append(together(f"{shards}: {count} lines", parts, shared=names is not cluster.lines))
    print()
    for row in rows:
        print(
            f"{row['what']:>22} {row['fps']:>7.0f} frames/s {row['server_us']:>6.0f} µs of each frame's shard",
            flush=True,
        )
    return rows


def together(what: str, parts: list[dict[str, Any]], shared: bool) -> dict[str, Any]:
    """What several lines carry. The CPU of a server that they share stands in the row of each."""
    frames_s = sum(part["fps"] for part in parts)
    cores = parts[0]["server_cores"] if shared else sum(part["server_cores"] for part in parts)
    return {"what": what, "fps": frames_s, "server_us": cores / frames_s * 1e6, "lines": parts}


def failovers(options: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each failover of each case."""
    columns = f"{'stall s':>8} {'others':>7} {'frames':>7} {'lost':>5} {'doubled':>8} {'difference':>11}"
    print(f"\n{'':47} {columns}  HTTP: s, statuses")
    rows = []
    for case in CASES * options.times:
        with ExitStack() as stack:
            coverage = (COVERAGE, case.full_coverage)
            cluster = stack.enter_context(ReplicatedCluster(options.node_timeout_ms, *coverage, replicas=case.replicas))
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="line-worker-cluster-lines-")))
            felt = fail_over(options, case, cluster, folder)
        rows.append(asdict(felt))
        show(felt)
    return rows


def fail_over(options: argparse.Namespace, case: Case, cluster: ReplicatedCluster, folder: Path) -> Felt:
    """Three lines at work while a primary is killed and comes back."""
    with ExitStack() as stack:
        flags = {"redis__wait_replicas": case.wait_replicas}
        lines = [stack.enter_context(ShardLine(cluster, name, folder / name, **flags)) for name in cluster.lines]
        port = free_port()
        for line in lines:
            # Without their compression a lagging replica's frames fill the network's buffers sooner.
            line.start_all(options.frames, options.fps, "size=256", "--encoding", "bgr8")
        struck = lines[0]
        struck.start("serve", "serve", gateway__port=port)
        for line in lines:
            line.wait_for_worker()
        struck.wait_until(lambda: "listening" in struck.log("serve").read_text(), READY_TIMEOUT_S, "the service is up")
        requester = Requester(port)
        requester.start()
        for line in lines:
            line.wait_for_more(100)
        strike(options, case, cluster, struck.name)
        published = [line.published() for line in lines]
        requester.end()
        for line in lines:
            line.wait_until_done()
        pictures = [line.pictures() for line in lines]
        return Felt(
            case=str(case),
            stall_s=struck.longest_stall_s(),
            stall_of_others_s=max(line.longest_stall_s() for line in lines[1:]),
            published=sum(published),
            lost=sum(published) - sum(map(len, pictures)),
            doubled=sum(count - 1 for one in pictures for count in one.values()),
            difference=sum(line.ledger().difference for line in lines),
            http_stall_s=requester.longest_wait_s(),
            http_statuses=dict(requester.statuses()),
        )


def strike(options: argparse.Namespace, case: Case, cluster: ReplicatedCluster, line: str) -> None:
    """Kill a line's primary, wait for its heir, and bring it back."""
    primary = cluster.primary_of(line)
    replica = cluster.replica_of(primary)
    if case.lags:
        replica.pause()
        time.sleep(options.lag)
    primary.kill()
    if case.lags:
        replica.resume()
    wait_for(lambda: cluster.primary_of(line).running, "a replica takes over")
    time.sleep(options.back_after)
    cluster.revive(primary)


def show(felt: Felt) -> None:
    statuses = ", ".join(f"{status}: {count}" for status, count in sorted(felt.http_statuses.items()))
    print(
        f"{felt.case:47} {felt.stall_s:>8.1f} {felt.stall_of_others_s:>7.1f} {felt.published:>7} {felt.lost:>5}"
        f" {felt.doubled:>8} {felt.difference:>11}  {felt.http_stall_s:.1f}, {statuses}",
        flush=True,
    )


if __name__ == "__main__":
    main()
