"""A real worker pool: every frame gets its verdict, and a bad one harms only itself."""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import models
import numpy as np
import pytest
from ports import free_port

from worker.inference.predictor import Predictor
from worker.metrics import STAGES
from worker.types import Encoding, Verdict

from .pool import Pool, scrape

THRESHOLD = 0.0102


def test_every_frame_gets_its_verdict_and_bad_ones_their_letter(
    redis_url: str, tmp_path: Path, jpegs: list[bytes]
) -> None:
    folder = models.copy_to(tmp_path / "m", name="tiny", version="7", threshold=THRESHOLD)
    with Pool(redis_url, tmp_path, model=folder) as pool:
        # Given bad frames of every kind between good ones, published before the pool is up
        image = models.images(1)[0]
        bad = {
            "truncated": pool.publish(jpegs[0][: len(jpegs[0]) // 2]),
            "not_an_image": pool.publish(b"hello"),
        }
        good = [pool.publish(data, part_id=f"p{number}") for number, data in enumerate(jpegs)]
        bad |= {
            "encoding_mismatch": pool.publish(jpegs[1], encoding=Encoding.PNG),
            "too_small": pool.publish(models.jpeg(image[:1, :1], ".png"), encoding=Encoding.PNG),
            "size_mismatch": pool.publish(b"abc", encoding=Encoding.BGR8, width=40, height=40),
            "too_large": pool.publish(b"abc", encoding=Encoding.MONO8, width=10**6, height=10**6),
            "missing_field": pool.foreign("data", jpegs[0]),
            "unknown_field": pool.foreign("camera", "c1", "data", jpegs[0], "colour", "red"),
            "bad_field": pool.foreign("camera", "no spaces", "data", jpegs[0]),
            "unknown_encoding": pool.foreign("camera", "c1", "data", jpegs[0], "encoding", "gif"),
            "empty": pool.foreign("camera", "c1", "data", ""),
        }
        others = [
            pool.publish(image.tobytes(), encoding=Encoding.RGB8, width=image.shape[1], height=image.shape[0]),
            pool.publish(models.jpeg(image, ".png"), encoding=Encoding.PNG),
            pool.foreign("camera", "c2", "data", jpegs[0]),
        ]
        late = pool.publish(jpegs[0], captured_at=time.time_ns() - 10**10, deadline_ms=100)
        # When all is done
        books = pool.wait_until_done()
        results = {result.frame: result for result in pool.results()}
        letters = {letter.frame: letter for letter in pool.letters()}

        # Then each bad frame has a letter with its reason, and nothing else
        assert {frame: letter.reason for frame, letter in letters.items()} == {v: k for k, v in bad.items()}
        assert letters[bad["bad_field"]].camera == "?"
        # And each good one has exactly one verdict: the predictor's own
        assert set(results) == {*good, *others, late}
        assert len(pool.results()) == len(results)
        predictor = Predictor.open(folder)
        for frame, data in zip(good, jpegs, strict=True):
            rgb = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
            (expected,) = predictor.predict([rgb])
            result = results[frame]
            assert (result.verdict, result.image_size) == (expected.verdict, rgb.shape[:2])
            assert result.score == pytest.approx(expected.score, abs=1e-5)
            assert result.threshold == pytest.approx(THRESHOLD)
            label_map = cv2.imdecode(np.frombuffer(result.label_map, np.uint8), cv2.IMREAD_UNCHANGED)
            assert np.array_equal(label_map, expected.label_map)
            assert result.size == label_map.shape == (models.SIDE, models.SIDE)
            assert (result.model, result.engine, result.precision) == ("tiny@7", "paddle", "fp32")
            assert set(result.timings) == set(STAGES) - {"commit"}
        assert {results[frame].verdict for frame in good} == {Verdict.OK, Verdict.NG}
        assert [results[frame].part_id for frame in good] == [f"p{number}" for number in range(len(good))]
        # And a late frame says so, without a score
        assert results[late].verdict is Verdict.LATE
        assert "not inspected" in results[late].reason
        assert results[late].score is None
        # And the books balance
        assert books.difference == 0
        assert books.dead == len(bad)
        assert sum(books.verdicts.values()) == books.produced - len(bad)
        assert pool.stop() == 0


def test_a_camera_is_judged_by_its_own_threshold(redis_url: str, tmp_path: Path, jpegs: list[bytes]) -> None:
    cameras = {"strict": 0.0, "lax": 100.0}
    folder = models.copy_to(tmp_path / "m", name="tiny", threshold=THRESHOLD, camera_thresholds=cameras)
    with Pool(redis_url, tmp_path, model=folder) as pool:
        frames = {pool.publish(jpegs[0], camera=camera): camera for camera in (*cameras, "c3")}
        pool.wait_until_done()

        found = {frames[result.frame]: result for result in pool.results()}
        assert {name: found[name].threshold for name in cameras} == cameras
        assert found["c3"].threshold == pytest.approx(THRESHOLD)
        assert (found["strict"].verdict, found["lax"].verdict) == (Verdict.NG, Verdict.OK)


def test_the_metrics_endpoint_says_what_the_ledger_says(redis_url: str, tmp_path: Path, jpegs: list[bytes]) -> None:
    port = free_port()
    with Pool(redis_url, tmp_path, metrics__port=port) as pool:
        pool.ready()
        frames = pool.publish_many(30, jpegs)
        pool.publish(b"junk", camera="c2")
        books = pool.wait_until_done()
        pool.wait_for(lambda: not pool.books().pending, "everything acknowledged")

        samples = scrape(port)
        line = ("line", "test")
        assert samples["line_redis_up"] == {(line,): 1}
        assert samples["line_frames_produced_total"] == {(line,): 31}
        assert samples["line_backlog_frames"] == samples["line_pending_frames"] == {(line,): 0}
        assert samples["line_ledger_difference"] == {(line,): 0}
        verdicts = {dict(labels)["verdict"]: value for labels, value in samples["line_frames_total"].items()}
        assert verdicts == {verdict: count for verdict, count in books.verdicts.items() if count}
        assert samples["line_dead_letters_total"] == {(("camera", "c2"), line, ("reason", "not_an_image")): 1}
        # What the workers measured covers every frame that was inspected
        pool.wait_for(lambda: sum(scrape(port)["line_latency_seconds_count"].values()) == len(frames), "all measured")
        samples = scrape(port)
        stages = {dict(labels)["stage"]: count for labels, count in samples["line_stage_seconds_count"].items()}
        assert stages == dict.fromkeys(STAGES, len(frames))
        assert sum(samples["line_batch_size_sum"].values()) == len(frames)
        assert list(samples["line_worker_up"].values()) == [1]
        assert sum(samples["line_device_busy_seconds_total"].values()) > 0


def test_a_reply_reaches_the_client_that_asked_for_it(redis_url: str, tmp_path: Path, jpegs: list[bytes]) -> None:
    with Pool(redis_url, tmp_path) as pool:
        pool.ready()  # the connection gives up on an answer sooner than a busy machine starts a worker
        good = pool.publish(jpegs[0], reply_to="good-1")
        pool.publish(b"junk", reply_to="bad-1")
        reply = pool.client.execute_command("XREAD", "BLOCK", 4_000, "STREAMS", pool.keys.reply("good-1"), "0")
        fields = reply[0][1][0][1]
        assert fields[:2] == [b"frame", good.encode()]
        reply = pool.client.execute_command("XREAD", "BLOCK", 4_000, "STREAMS", pool.keys.reply("bad-1"), "0")
        assert b"not_an_image" in reply[0][1][0][1]
