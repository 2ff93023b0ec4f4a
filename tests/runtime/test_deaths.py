"""Whatever dies, stops or goes away: every frame still gets one verdict, and the pool comes back or says why not."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import models
import pytest
from ports import free_port

from worker.stream.consume import FrameConsumer, consumer_count
from worker.stream.embedded import EmbeddedRedis
from worker.types import Verdict

from .pool import Pool, alive, scrape

CORE = min(os.sched_getaffinity(0))


def inspected(pool: Pool) -> int:
    return sum(pool.books().verdicts.values())


def restarts(port: int) -> dict[str, float]:
    """By reason, as the metrics show them."""
    samples = scrape(port)["line_worker_restarts_total"]
    return {dict(labels)["reason"]: count for labels, count in samples.items() if count}


def one_result_each(pool: Pool, frames: list[str]) -> bool:
    return sorted(result.frame for result in pool.results()) == sorted(frames)


@pytest.mark.slow
def test_sigterm_drains(redis_url: str, tmp_path: Path, jpegs: list[bytes]) -> None:
    # Given two workers in the middle of a queue
    with Pool(redis_url, tmp_path, devices=f"cpu:{CORE},cpu", batch__max_batch=2) as pool:
        pool.ready(2)
        frames = pool.publish_many(200, jpegs)
        pool.wait_for(lambda: inspected(pool) > 20, "work under way")
        # When told to end, then it ends well
        assert pool.stop() == 0
        books = pool.books()
        # And what was in hand has its verdict, what was not is still there for the next
        assert (books.pending, books.difference) == (0, 0)
        assert len(pool.results()) == inspected(pool) == len(frames) - books.backlog
        assert consumer_count(pool.client, pool.keys) == 0
        assert len(pool.said("worker drained")) == 2
        assert not pool.workers()


@pytest.mark.slow
def test_workers_killed_again_and_again_lose_and_repeat_nothing(
    redis_url: str, tmp_path: Path, jpegs: list[bytes]
) -> None:
    port = free_port()
    with Pool(redis_url, tmp_path, batch__max_batch=2, metrics__port=port, work__max_attempts=10) as pool:
        pool.ready()
        frames = pool.publish_many(400, jpegs)
        kills = 2
        for _ in range(kills):
            # Given a worker that has finished frames of its own and has more in hand
            before = inspected(pool)
            pool.wait_for(lambda at=before: inspected(pool) > at + 30 and pool.books().pending, "frames in hand")
            (victim,) = pool.workers()
            os.kill(victim, signal.SIGKILL)
            pool.wait_for(lambda pid=victim: pool.workers() not in ([], [pid]), "a new worker")
        books = pool.wait_until_done()
        assert one_result_each(pool, frames)
        assert (books.produced, books.difference, books.dead) == (len(frames), 0, 0)
        restarts = scrape(port)["line_worker_restarts_total"]
        assert {dict(labels)["reason"]: count for labels, count in restarts.items()} == {"crash": kills, "hang": 0}
        assert [line["reason"] for line in pool.said("worker died")] == ["killed by signal 9"] * kills
        # The counts of a killed worker live on with its successor
        counted = sum(scrape(port)["line_batch_size_sum"].values())
        assert inspected(pool) * 0.9 <= counted


def test_frames_of_a_worker_that_never_comes_back_go_to_another(
    redis_url: str, tmp_path: Path, jpegs: list[bytes]
) -> None:
    with Pool(redis_url, tmp_path, work__claim_idle_ms=1_000) as pool:
        frames = pool.publish_many(3, jpegs)
        gone = FrameConsumer(pool.client, pool.keys, "gone", 300)
        gone.join()
        assert len(gone.read(3)) == 3
        pool.ready()
        pool.wait_until_done()
        assert one_result_each(pool, frames)
        assert [line["attempts"] for line in pool.said("frame taken over")] == [2, 2, 2]


def test_a_frame_that_failed_too_often_becomes_a_dead_letter(
    redis_url: str, tmp_path: Path, jpegs: list[bytes]
) -> None:
    with Pool(redis_url, tmp_path, work__claim_idle_ms=1_000, work__max_attempts=2) as pool:
        # Given a frame that was delivered twice already, and one that was delivered once
        poison, fine = pool.publish_many(2, jpegs)
        for attempt in (1, 2):
            worker = FrameConsumer(pool.client, pool.keys, "dead", 0)
            worker.join()
            assert worker.read(2) if attempt == 1 else worker.recover_own()
        pool.ready()
        pool.wait_until_done()
        (letter,) = pool.letters()
        assert (letter.frame, letter.reason, letter.attempts) == (poison, "max_attempts", 3)
        assert [result.frame for result in pool.results()] == [fine]


def test_a_stopped_worker_is_killed_as_hung_and_replaced(redis_url: str, tmp_path: Path, jpegs: list[bytes]) -> None:
    port = free_port()
    with Pool(redis_url, tmp_path, work__hang_timeout_s=1.5, metrics__port=port) as pool:
        pool.ready()
        frames = pool.publish_many(10, jpegs)
        pool.wait_until_done()
        (victim,) = pool.workers()
        os.kill(victim, signal.SIGSTOP)
        frames += pool.publish_many(10, jpegs)
        pool.wait_for(lambda: pool.workers() not in ([], [victim]), "a new worker")
        assert not alive(victim)
        pool.wait_until_done()
        assert one_result_each(pool, frames)
        (killed,) = pool.said("worker killed")
        assert killed["reason"].startswith("hung: stage ")
        restarts = scrape(port)["line_worker_restarts_total"]
        assert {dict(labels)["reason"]: count for labels, count in restarts.items()} == {"crash": 0, "hang": 1}


def test_a_worker_that_hangs_does_not_hold_up_the_drain(redis_url: str, tmp_path: Path) -> None:
    with Pool(redis_url, tmp_path, work__hang_timeout_s=2, work__drain_timeout_s=60) as pool:
        pool.ready()
        os.kill(pool.workers()[0], signal.SIGSTOP)
        pool.process.terminate()
        assert pool.process.wait(30) == 0
        assert "hung" in pool.log.read_text()


def test_a_supervisor_that_was_stopped_does_not_take_its_workers_for_hung(
    redis_url: str, tmp_path: Path, jpegs: list[bytes]
) -> None:
    with Pool(redis_url, tmp_path, work__hang_timeout_s=1) as pool:
        pool.ready()
        workers = pool.workers()
        pids = [pool.process.pid, *workers]
        for number in (signal.SIGSTOP, signal.SIGCONT):  # as when a laptop sleeps
            for pid in pids:
                os.kill(pid, number)
            time.sleep(2.5)
        assert pool.workers() == workers
        pool.publish_many(5, jpegs)
        pool.wait_until_done()


def test_workers_leave_by_themselves_when_their_supervisor_is_killed(
    redis_url: str, tmp_path: Path, jpegs: list[bytes]
) -> None:
    with Pool(redis_url, tmp_path, devices=f"cpu:{CORE},cpu") as pool:
        pool.ready(2)
        workers = pool.workers()
        frames = pool.publish_many(100, jpegs)
        pool.process.kill()
        pool.wait_for(lambda: not any(map(alive, workers)), "workers to leave", 15)
        books = pool.books()
        assert (books.pending, books.difference) == (0, 0)
        assert len(pool.results()) == len(frames) - books.backlog


@contextmanager
def lasting_redis(folder: Path, port: int) -> Iterator[EmbeddedRedis]:
    """A server that keeps its data in `folder` over its own death."""
    with EmbeddedRedis("--dir", str(folder), "--appendonly", "yes", "--appendfsync", "always", port=port) as server:
        yield server


def test_a_redis_that_restarts_in_mid_run_is_ridden_out(tmp_path: Path, jpegs: list[bytes]) -> None:
    port, data = free_port(), tmp_path / "redis"
    data.mkdir()
    with lasting_redis(data, port) as server, Pool(server.url, tmp_path, batch__max_batch=2) as pool:
        # Given a pool in the middle of its work
        pool.ready()
        frames = pool.publish_many(400, jpegs)
        pool.wait_for(lambda: inspected(pool) > 20, "work under way")
        workers = pool.workers()
        # When Redis is killed and comes back a second later
        server.process.kill()
        server.process.wait()
        time.sleep(1)
        with lasting_redis(data, port):
            # Then the same workers go on, and nothing is lost or said twice
            books = pool.wait_until_done()
            assert one_result_each(pool, frames)
            assert (books.produced, books.difference) == (len(frames), 0)
            assert pool.workers() == workers
            assert pool.said("Redis is away; trying again")
            assert pool.said("Redis is back")
            assert pool.stop() == 0


def test_a_pool_that_starts_before_redis_waits_for_it(tmp_path: Path, jpegs: list[bytes]) -> None:
    port = free_port()
    with Pool(f"redis://127.0.0.1:{port}/0", tmp_path) as pool:
        pool.wait_for(lambda: pool.said("Redis is away; trying again"), "a word that Redis is away")
        with EmbeddedRedis(port=port):
            pool.publish_many(3, jpegs)
            pool.wait_until_done()
            assert pool.stop() == 0


def test_sigterm_ends_a_pool_also_while_redis_is_away(tmp_path: Path) -> None:
    with Pool(f"redis://127.0.0.1:{free_port()}/0", tmp_path, work__drain_timeout_s=5) as pool:
        pool.wait_for(lambda: pool.said("Redis is away; trying again"), "a word that Redis is away")
        assert pool.stop() == 0


def test_a_flushed_redis_goes_on_from_nothing(redis_url: str, tmp_path: Path, jpegs: list[bytes]) -> None:
    with Pool(redis_url, tmp_path) as pool:
        pool.ready()
        pool.publish_many(5, jpegs)
        pool.wait_until_done()
        pool.client.execute_command("FLUSHALL")
        frames = pool.publish_many(5, jpegs)
        pool.wait_for(lambda: one_result_each(pool, frames), "a verdict for each")
        assert pool.books().difference == 0


def test_a_worker_that_never_gets_ready_ends_in_a_crash_loop_with_a_reason(redis_url: str, tmp_path: Path) -> None:
    # Given a start that takes longer than it may
    patience = {"work__start_timeout_s": 1, "work__max_restarts": 1, "work__backoff_s": 0}
    with Pool(redis_url, tmp_path, **patience, batch__max_batch=256) as pool:
        assert pool.ends() == 70
        log = pool.log.read_text()
        assert "died 2 times in a row without finishing a frame; last: not ready after 1 s" in log
        assert "Traceback" not in log


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"model": "/no/such/folder"}, "model folder /no/such/folder: there is no such folder"),
        ({"devices": "cpu:4000"}, "device cpu:4000: no core 4000 here"),
        ({"devices": "npu:0"}, "install paddle-custom-npu"),
        ({"model": None}, "name a model folder with --model or LINE_MODEL"),
        ({"devices": "tpu:0"}, "the kind must be one of cpu, gpu"),
    ],
)
def test_what_no_restart_mends_ends_at_once_with_the_reason(
    redis_url: str, tmp_path: Path, values: dict[str, str | None], says: str
) -> None:
    with Pool(redis_url, tmp_path, **values) as pool:
        assert pool.ends(30) == 78
        assert says in pool.log.read_text()
        assert len(pool.said("worker started")) <= 1
        assert not pool.said("worker died")
        assert "Traceback" not in pool.log.read_text()


def test_an_altered_bundle_is_refused_at_start(redis_url: str, tmp_path: Path) -> None:
    folder = models.copy_to(tmp_path / "m", name="m")
    (folder / "inference.pdiparams").write_bytes(b"other weights")
    with Pool(redis_url, tmp_path, model=folder) as pool:
        assert pool.ends(30) == 78
        assert "inference.pdiparams was altered" in pool.log.read_text()


def test_a_metrics_port_in_use_is_told(redis_url: str, tmp_path: Path) -> None:
    port = int(redis_url.split(":")[2].split("/", maxsplit=1)[0])
    with Pool(redis_url, tmp_path, metrics__port=port) as pool:
        assert pool.ends(30) == 78
        assert f"cannot listen on 127.0.0.1:{port}" in pool.log.read_text()


def test_the_verdict_of_a_frame_that_waited_too_long_is_late(
    redis_url: str, tmp_path: Path, jpegs: list[bytes]
) -> None:
    # Given frames that wait for the pool to start longer than they may
    with Pool(redis_url, tmp_path) as pool:
        for data in jpegs[:3]:
            pool.publish(data, deadline_ms=50)
        on_time = pool.publish(jpegs[0], deadline_ms=60_000)
        pool.ready()
        pool.wait_until_done()
        verdicts = {result.frame: result.verdict for result in pool.results()}
        assert verdicts.pop(on_time) is not Verdict.LATE
        assert set(verdicts.values()) == {Verdict.LATE}
