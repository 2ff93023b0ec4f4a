"""A Redis that can write no more to its append-only file: everybody waits, and nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from small_disk import as_seen_by, fill, on_small_disk

from worker.stream.embedded import EmbeddedRedis, find_server

from .running import RunningLine

FRAMES_A_CAMERA = 400


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    return tmp_path / "disk"


@pytest.fixture
def server(tmp_path: Path, disk: Path) -> Iterator[EmbeddedRedis]:
    """A Redis with its append-only file on a disk of 64 MB."""
    start = tmp_path / "redis-on-small-disk"
    before = " ".join(f"'{part}'" for part in on_small_disk(disk, "64m"))
    start.write_text(f'#!/bin/sh\nexec {before} {find_server()} "$@"\n')
    start.chmod(0o755)
    options = ["--dir", str(disk), "--appendonly", "yes", "--appendfsync", "everysec"]
    with EmbeddedRedis(*options, executable=str(start)) as server:
        yield server


def test_a_full_disk_under_redis_is_waited_out(
    server: EmbeddedRedis, disk: Path, small_model: Path, tmp_path: Path
) -> None:
    with RunningLine(server.url, tmp_path, model=small_model) as line, redis.Redis.from_url(server.url) as client:
        # Given a camera and two workers in the middle of their work
        line.start_workers()
        line.start("produce", "produce", f"c1=test://?seed=1&size=64&count={FRAMES_A_CAMERA}", "--fps", "50")
        line.wait_until(lambda: sum(line.ledger().verdicts.values()) > 50, 60, "the run is under way")

        # When the disk of Redis' file is full
        filler = fill(as_seen_by(server.process.pid, disk))
        line.wait_until(lambda: _says_misconf(client), 60, "Redis says that it cannot write")
        stood = line.ledger()
        for name, what in (("run", "workers"), ("produce", "camera")):
            line.wait_until(lambda name=name: "MISCONF" in line.log(name).read_text(), 60, f"the {what} are told")
        assert line.ledger().produced == stood.produced < FRAMES_A_CAMERA

        # Then with room again all go on by themselves, and each frame has its one result
        filler.unlink()
        line.finish("produce")
        line.wait_until(lambda: line.ledger().backlog == 0, 60, "every frame is inspected")
        books = line.ledger()
        assert (books.produced, books.difference, books.pending) == (FRAMES_A_CAMERA, 0, 0)
        assert sorted(result.seq or 0 for result in line.results()) == list(range(FRAMES_A_CAMERA))
        assert not line.events("run", "worker died")
        assert line.stop("run") == 0


def _says_misconf(client: redis.Redis) -> bool:
    try:
        client.set("probe", 1)
    except redis.ResponseError as error:
        return "MISCONF" in str(error)
    return False
