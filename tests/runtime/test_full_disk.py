"""A disk that fills up under the workers' own files, or under the log, costs no inspection."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from line_settings import settings_for
from small_disk import as_seen_by, fill, on_small_disk

from worker.stream.connection import connect
from worker.stream.consume import consumer_count
from worker.stream.keys import LineKeys
from worker.stream.ledger import read_ledger
from worker.stream.publish import FramePublisher
from worker.types import Frame

from .pool import COMMAND, Pool, environment


def test_workers_go_on_and_are_replaced_while_the_disk_of_their_files_is_full(
    redis_url: str, tmp_path: Path, jpegs: list[bytes]
) -> None:
    disk = tmp_path / "disk"
    with Pool(redis_url, tmp_path, before=on_small_disk(disk, "16m"), TMPDIR=disk) as pool:
        # Given a worker whose files are on a disk that is full by now
        pool.ready()
        fill(as_seen_by(pool.process.pid, disk))
        workers = pool.workers()
        # When so many cameras come that their metrics take many times the place that they had
        for number in range(100):
            pool.publish(jpegs[number % len(jpegs)], camera=f"camera-{number:_>50}")
        pool.wait_until_done()
        # Then it is the same worker still
        assert pool.workers() == workers
        assert not pool.said("worker died")
        # And one that is killed is replaced
        os.kill(workers[0], signal.SIGKILL)
        frame = pool.publish(jpegs[0])
        pool.wait_until_done()
        assert frame in {result.frame for result in pool.results()}
        assert len(pool.said("worker died")) == 1
        assert pool.stop() == 0


def test_a_start_without_room_says_where_it_is_wanting(redis_url: str, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with Pool(redis_url, tmp_path, before=on_small_disk(disk, "1m"), TMPDIR=disk) as pool:
        assert pool.ends() == 78
        assert f"Error: {disk}/line-worker-" in pool.log.read_text()
        assert "No space left on device; make room there, or set TMPDIR to a folder elsewhere" in pool.log.read_text()
        assert "Traceback" not in pool.log.read_text()


@pytest.mark.parametrize("broken", ["full disk", "closed pipe"])
def test_a_log_that_cannot_be_written_ends_nothing(broken: str, redis_url: str, jpegs: list[bytes]) -> None:
    if broken == "full disk":
        log = os.open("/dev/full", os.O_WRONLY)
    else:
        reader, log = os.pipe()
        os.close(reader)
    client, keys = connect(settings_for(redis_url)), LineKeys("test")
    # Given a pool that logs to it
    process = subprocess.Popen(COMMAND, env=environment(redis_url), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    os.close(log)
    try:
        # When it has something to say: a frame that cannot be inspected among those that can
        publisher = FramePublisher(settings_for(redis_url))
        for number, data in enumerate([*jpegs[:3], b"no picture"]):
            publisher.publish(Frame("c1", data, seq=number))
        for _ in range(600):
            if read_ledger(client, keys).backlog == 0:
                break
            assert process.poll() is None
            time.sleep(0.1)
        # Then all are finished, and it drains well
        books = read_ledger(client, keys)
        assert (sum(books.verdicts.values()), books.dead, books.backlog) == (3, 1, 0)
        assert consumer_count(client, keys) == 1
        process.terminate()
        assert process.wait(30) == 0
        assert consumer_count(client, keys) == 0
    finally:
        process.kill()
        process.wait()
