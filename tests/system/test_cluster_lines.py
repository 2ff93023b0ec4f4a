"""Three lines on the three shards of a Cluster, under load: a primary is killed, and returns as a replica."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from ports import free_port
from redis_cluster import ReplicatedCluster
from redis_servers import wait_for
from runtime.pool import scrape
from shard_lines import READY_TIMEOUT_S, Requester, ShardLine

NODE_TIMEOUT_MS = 2_000  # a busy machine is not a dead one


@pytest.fixture
def cluster() -> Iterator[ReplicatedCluster]:
    with ReplicatedCluster(NODE_TIMEOUT_MS, "--cluster-require-full-coverage", "no") as cluster:
        yield cluster


def a_primary_is_killed(cluster: ReplicatedCluster, folder: Path, frames: int, fps: float, **settings: object) -> None:
    """The scene of both tests: the same for an engine that costs nothing and for a real one."""
    metrics, http = free_port(), free_port()
    with ExitStack() as stack:
        # Given three lines at work, each on a shard of its own, whose frames are published once a replica has them
        lines = [
            stack.enter_context(ShardLine(cluster, name, folder / name, redis__wait_replicas=1, **settings))
            for name in cluster.lines
        ]
        struck = lines[0]
        for line in lines:
            line.start_all(frames, fps, metrics__port=metrics if line is struck else 0)
        struck.start("serve", "serve", gateway__port=http)
        for line in lines:
            line.wait_for_worker()
            line.wait_for_more()
        struck.wait_until(lambda: "listening" in struck.log("serve").read_text(), READY_TIMEOUT_S, "the service is up")
        requester = Requester(http)
        requester.start()
        struck.wait_until(lambda: requester.statuses()[200] > 3, READY_TIMEOUT_S, "requests get verdicts")

        # If the first line's primary is killed, and comes back once its replica has taken over
        old = cluster.primary_of(struck.name)
        heir = cluster.replica_of(old)
        old.kill()
        wait_for(lambda: cluster.primary_of(struck.name) is heir, "the replica takes over")
        cluster.revive(old)  # until then the heir has no replica that could confirm a frame
        assert old.client.role()[0] == b"slave"
        moment = time.monotonic()
        struck.wait_until(lambda: requester.good_since(moment), READY_TIMEOUT_S, "requests get verdicts again")
        for line in lines:
            line.wait_for_more()
        requester.end()

        # I expect that every picture on every line has one verdict, and that the books say so
        for line in lines:
            published = line.published()
            line.wait_until_done()
            books = line.ledger()
            assert published == 2 * frames
            assert line.pictures() == {(camera, seq): 1 for camera in "ab" for seq in range(frames)}
            assert (books.difference, books.backlog, books.pending, books.dead) == (0, 0, 0, 0)
            assert books.produced == sum(books.verdicts.values()) + sum(books.dropped.values())
        # that requests were answered with a verdict or the reason why there is none
        assert requester.statuses().keys() <= {200, 429, 503, 504}
        # that metrics say where the line stands
        samples = scrape(metrics)
        assert set(samples["line_redis_up"].values()) == {1}
        assert set(samples["line_ledger_difference"].values()) == {0}
        # that each alert was raised once, and that no worker had to be replaced
        for line in lines:
            assert len(line.raised()) == len(set(line.raised())) > 0
            assert not line.events("run", "worker died")
        # and that all processes have lived through it and leave as they should (what else one feels depends on how
        # busy this machine is: tests/benchmarks/cluster_lines.py measures it)
        for line in lines:
            assert [line.stop(name) for name in ("run", "alerts")] == [0, 0]
        assert struck.stop("serve") == 0


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_killed_primary_costs_and_doubles_nothing_on_any_line(cluster: ReplicatedCluster, tmp_path: Path) -> None:
    a_primary_is_killed(cluster, tmp_path, frames=300, fps=15)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_nor_with_the_real_engine(cluster: ReplicatedCluster, small_model: Path, tmp_path: Path) -> None:
    real = {"CHAOS_ENGINE": "real", "model": small_model}
    a_primary_is_killed(cluster, tmp_path, frames=300, fps=5, **real)
