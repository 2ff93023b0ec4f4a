"""Workers that have lost their supervisor leave; those that cannot are ended by the next one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cores import two_devices

from worker.errors import LineError
from worker.runtime.orphans import Predecessor, hold_name, holder
from worker.stream.embedded import EmbeddedRedis

from .pool import Pool, alive

HOLD = """
import sys, time
from pathlib import Path
from worker.runtime.orphans import hold_name
hold_name(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(float(sys.argv[2]))
"""


@contextmanager
def living_worker(lock: Path, seconds: float = 600) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the name for so long."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(lock), str(seconds)], stdout=subprocess.PIPE, text=True)
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_a_name_is_held_until_its_worker_is_gone(tmp_path: Path) -> None:
    lock = tmp_path / "w1.lock"
    assert holder(lock) is None
    with living_worker(lock) as worker:
        assert holder(lock) == worker.pid
        with pytest.raises(LineError, match=f"still runs: process {worker.pid}"):
            hold_name(lock)
        worker.kill()
        worker.wait()
        assert holder(lock) is None


def wait_for_its_end(predecessor: Predecessor) -> None:
    while not predecessor.gone():
        time.sleep(0.05)


def test_one_that_leaves_is_waited_for(tmp_path: Path) -> None:
    lock = tmp_path / "w1.lock"
    predecessor = Predecessor(lock, 60)
    with living_worker(lock, 1) as worker:
        assert not predecessor.gone()
        wait_for_its_end(predecessor)
        assert worker.wait() == 0


def test_one_that_stays_is_killed(tmp_path: Path) -> None:
    lock = tmp_path / "w1.lock"
    with living_worker(lock) as worker:
        worker.send_signal(signal.SIGSTOP)
        wait_for_its_end(Predecessor(lock, 0.2))
        assert worker.wait() == -signal.SIGKILL


def test_a_hung_worker_of_an_earlier_supervisor_holds_up_its_own_slot_only(
    redis_url: str, tmp_path: Path, jpegs: list[bytes]
) -> None:
    with Pool(redis_url, tmp_path, devices=two_devices(), work__drain_timeout_s=60) as first:
        first.ready(2)
        os.kill(first.workers()[0], signal.SIGSTOP)
        first.process.kill()
        first.process.wait()
        with Pool(redis_url, tmp_path, devices=two_devices(), work__drain_timeout_s=60) as second:
            frames = second.publish_many(20, jpegs)
            second.wait_for(lambda: len(second.results()) >= len(frames), "verdicts")
            assert len(second.workers()) == 1


def test_a_worker_that_hangs_without_supervisor_is_ended_by_the_next_one(
    redis_url: str, tmp_path: Path, jpegs: list[bytes]
) -> None:
    with Pool(redis_url, tmp_path, work__drain_timeout_s=1) as first:
        # Given a worker that hangs with frames in hand when its supervisor is killed
        first.ready()
        (orphan,) = first.workers()
        os.kill(orphan, signal.SIGSTOP)
        time.sleep(0.1)
        frames = first.publish_many(20, jpegs)
        first.process.kill()
        first.process.wait()
        assert alive(orphan)
        # When a new supervisor of the same line and devices starts
        with Pool(redis_url, tmp_path, work__drain_timeout_s=1) as second:
            second.wait_until_done()
            # Then the old worker is gone, one of its name has done its work, and nothing is done twice
            assert not alive(orphan)
            assert sorted(result.frame for result in second.results()) == sorted(frames)
            assert len({result.worker for result in second.results()}) == 1
            assert second.stop() == 0


def test_a_worker_without_supervisor_leaves_also_while_redis_is_away(tmp_path: Path, jpegs: list[bytes]) -> None:
    with EmbeddedRedis() as server, Pool(server.url, tmp_path, work__drain_timeout_s=1) as pool:
        pool.ready()
        workers = pool.workers()
        pool.publish_many(50, jpegs)
        # When Redis goes away with frames in hand, and then the supervisor is killed
        server.process.kill()
        pool.wait_for(lambda: pool.said("Redis is away; trying again"), "a word that Redis is away")
        pool.process.kill()
        pool.wait_for(lambda: not any(map(alive, workers)), "workers to leave", 30)
