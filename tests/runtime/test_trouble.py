"""Trouble at Redis and ends that were asked for: a worker dies at once and with its reason, or not at all."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from .pool import Pool


def test_a_key_of_another_type_ends_a_worker_at_once_with_the_reason_and_loses_nothing(
    redis_url: str, tmp_path: Path, jpegs: list[bytes]
) -> None:
    # Given a program that overwrites the results while a worker is at work
    with Pool(redis_url, tmp_path, work__max_restarts=50, work__drain_timeout_s=5) as pool:
        pool.ready()
        pool.client.execute_command("SET", pool.keys.results, "x")
        began = time.monotonic()
        frames = pool.publish_many(60, jpegs)
        pool.wait_for(lambda: pool.said("worker died"), "the worker's death", timeout_s=20)
        # Then it does not hang till its time is out, and says what is wrong
        assert time.monotonic() - began < 15
        assert "WRONGTYPE" in pool.said("worker died")[0]["reason"]
        # And when the key is right again every frame gets its result
        pool.client.execute_command("DEL", pool.keys.results)
        books = pool.wait_until_done(90)
        assert (books.difference, books.dead, books.pending) == (0, 0, 0)
        assert sorted(result.frame for result in pool.results()) == sorted(frames)


def test_readers_that_redis_sends_away_in_a_failover_come_again(
    redis_url: str, tmp_path: Path, jpegs: list[bytes]
) -> None:
    with Pool(redis_url, tmp_path) as pool:
        pool.ready()
        before = pool.workers()
        # When the server becomes a replica for a moment, as in a failover
        pool.client.execute_command("REPLICAOF", "127.0.0.1", "1")
        time.sleep(0.3)
        pool.client.execute_command("REPLICAOF", "NO", "ONE")
        # Then the same worker goes on
        pool.publish_many(5, jpegs)
        assert pool.wait_until_done().verdicts["INVALID"] == 0
        assert pool.workers() == before


def test_workers_that_are_asked_to_leave_are_replaced_and_make_no_crash_loop(redis_url: str, tmp_path: Path) -> None:
    with Pool(redis_url, tmp_path, work__max_restarts=1, work__backoff_s=0) as pool:
        for lives in (1, 2, 3):
            pool.ready(lives)
            (worker,) = pool.workers()
            os.kill(worker, signal.SIGTERM)
        pool.ready(4)
        assert pool.process.poll() is None
