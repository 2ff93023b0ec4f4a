"""A real worker pool keeps evidence of what it has committed, each frame once, and inspects on where it cannot."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from cores import two_devices
from ports import free_port

from worker.types import Encoding

from .evidence_folder import KEPT, evidence, told, wanted
from .pool import Pool, scrape


def test_what_is_not_ok_is_kept_as_it_came_and_what_is_ok_is_not(
    redis_url: str, tmp_path: Path, jpegs: list[bytes]
) -> None:
    folder = tmp_path / "evidence"
    with Pool(redis_url, tmp_path, evidence__folder=folder, threshold=0.0102) as pool:
        pool.ready()
        sent = {pool.publish(data, encoding=Encoding.JPEG): data for data in jpegs}
        black = bytes(64 * 64)
        dark = pool.publish(black, "..", encoding=Encoding.MONO8, width=64, height=64)
        late = pool.publish(jpegs[0], captured_at=time.time_ns() - 10**10, deadline_ms=100)
        pool.publish(b"no picture")
        pool.wait_until_done()
        results = pool.results()
        expected = wanted(results, KEPT)
        pool.wait_for(lambda: told(folder) == expected, "evidence of all that is not OK")
        assert expected[dark] == "INVALID"
        assert expected[late] == "LATE"
        assert {"OK", "NG"} <= {result.verdict.value for result in results}
        found = evidence(folder)
        for frame, data in sent.items():
            if frame in found:
                path = found[frame]["path"]
                assert path.with_suffix(".jpg").read_bytes() == data
                by_frame = {result.frame: result for result in results}
                assert path.with_suffix(".label_map.png").read_bytes() == by_frame[frame].label_map
        assert found[dark]["path"].parts[-4:-2] == ("test", "%2E.")
        assert set(found[late]["files"]) == {"jpg"}
        assert pool.stop() == 0


def test_of_what_is_ok_a_share_is_kept(redis_url: str, tmp_path: Path, jpegs: list[bytes]) -> None:
    folder = tmp_path / "evidence"
    with Pool(redis_url, tmp_path, evidence__folder=folder, evidence__ok_share=1, threshold=1e6) as pool:
        frames = pool.publish_many(12, jpegs)
        pool.wait_until_done()
        assert pool.stop() == 0
        assert told(folder) == dict.fromkeys(frames, "OK")


def test_without_a_folder_nothing_is_kept(redis_url: str, tmp_path: Path, jpegs: list[bytes]) -> None:
    port = free_port()
    with Pool(redis_url, tmp_path, threshold=0, metrics__port=port) as pool:
        pool.publish_many(4, jpegs)
        pool.wait_until_done()
        assert not [name for name in scrape(port) if "evidence" in name]
        assert pool.stop() == 0
    assert list(tmp_path.rglob("*.json")) == []


def test_what_waits_is_written_before_a_worker_leaves(redis_url: str, tmp_path: Path, jpegs: list[bytes]) -> None:
    folder = tmp_path / "evidence"
    settings = {"evidence__queue_frames": 1_000, "work__drain_timeout_s": 120}
    with Pool(redis_url, tmp_path, evidence__folder=folder, threshold=0, **settings) as pool:
        pool.ready()
        pool.publish_many(150, jpegs)
        pool.wait_for(lambda: len(pool.results()) > 20, "some verdicts")
        pool.process.send_signal(signal.SIGTERM)
        assert pool.process.wait(150) == 0
        assert told(folder) == wanted(pool.results(), KEPT)
        assert len(told(folder)) > 20


def test_two_workers_of_which_one_is_killed_keep_each_frame_once(
    redis_url: str, tmp_path: Path, jpegs: list[bytes]
) -> None:
    folder = tmp_path / "evidence"
    settings = {"evidence__queue_frames": 1_000, "work__claim_idle_ms": 1_000, "threshold": 0}
    with Pool(redis_url, tmp_path, evidence__folder=folder, devices=two_devices(), **settings) as pool:
        pool.ready(2)
        pool.publish_many(100, jpegs)
        pool.wait_for(lambda: len(pool.results()) > 20, "some verdicts")
        os.kill(pool.workers()[0], signal.SIGKILL)
        pool.publish_many(100, jpegs)
        pool.wait_until_done()
        pool.wait_for(lambda: len(pool.said("worker ready")) == 3, "the worker is replaced")
        assert pool.stop() == 0
        expected, kept = wanted(pool.results(), KEPT), told(folder)
        assert len(expected) == 200
        assert kept.items() <= expected.items()  # none twice, see evidence()
        assert len(kept) >= 100  # what the killed one had in its queue is lost


def test_the_supervisor_deletes_what_is_too_old(redis_url: str, tmp_path: Path, jpegs: list[bytes]) -> None:
    folder, port = tmp_path / "evidence", free_port()
    old = folder / "test" / "c1" / "2020-01-01"
    old.mkdir(parents=True)
    files = [old / f"120000.000_NG_1577880000000-0.{ending}" for ending in ("json", "jpg")]
    for file in [*files, old / "notes.txt"]:
        file.write_text("{}")
        os.utime(file, (1_577_880_000, 1_577_880_000))
    with Pool(redis_url, tmp_path, evidence__folder=folder, threshold=0, metrics__port=port) as pool:
        pool.wait_for(lambda: not any(file.exists() for file in files), "the end of what is old")
        pool.wait_for(lambda: "line_evidence_bytes" in scrape(port), "what is there")
        pool.publish_many(2, jpegs)
        pool.wait_until_done()
        assert pool.stop() == 0
    assert (old / "notes.txt").exists()
    assert len([*folder.rglob("*.json")]) == 2
