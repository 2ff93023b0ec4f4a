"""Watchfulness in the worker: the device never sees what may not be trusted, and no verdict comes late in silence."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from pathlib import Path

import models
import pytest
from line_settings import settings_for
from ports import free_port

from worker.capture.generated import GOOD, GeneratedLine
from worker.inference.health import picture_digest
from worker.runtime.verdict import in_time
from worker.stream.connection import Client
from worker.stream.ledger import read_ledger
from worker.stream.publish import FramePublisher
from worker.types import Encoding, Frame, Result, Verdict

from .pool import Pool, scrape
from .test_inspect import KEYS, Batch, FaultyDevice, flat, wait_until_done, working

ALL = {"watch__dark": "auto", "watch__blown_out": "auto", "watch__frozen_after": 4}
PART = GeneratedLine(1, size=64).render(0, GOOD).image


def raw(image: models.Image, **fields: object) -> Frame:
    height, width = image.shape[:2]
    return Frame("c1", image.tobytes(), Encoding.RGB8, width, height, **fields)  # type: ignore[arg-type]


def test_what_may_not_be_trusted_is_invalid_and_never_reaches_the_device(
    redis_url: str, client: Client, tmp_path: Path
) -> None:
    device = FaultyDevice(lambda maps: maps)
    with working(redis_url, tmp_path, device, **ALL, watch__size="64x64") as publisher:
        dark, white = (publisher.publish(raw(PART * 0 + level)).id for level in (3, 255))
        small, good = publisher.publish(raw(PART[:40])).id, publisher.publish(raw(PART)).id
        results = wait_until_done(client)
    assert {one: results[one].reason.partition(":")[0] for one in (dark, white, small, good)} == {
        dark: "dark",
        white: "blown_out",
        small: "wrong_size",
        good: "",
    }
    assert {results[one].verdict for one in (dark, white, small)} == {Verdict.INVALID}
    assert (results[small].image_size, results[small].score, results[small].label_map) == ((40, 64), None, b"")
    assert set(results[dark].timings) == {"queue", "decode", "check"}
    assert results[good].verdict in (Verdict.OK, Verdict.NG)
    assert sum(device.sizes) == 1
    assert read_ledger(client, KEYS).verdicts["INVALID"] == 3


def test_a_frozen_camera_is_invalid_until_it_lives_again(redis_url: str, client: Client, tmp_path: Path) -> None:
    device = FaultyDevice(lambda maps: maps)
    publisher = FramePublisher(settings_for(redis_url))
    line = GeneratedLine(1, size=64)
    ids = [publisher.publish(raw(line.part(max(3, min(number, 12) // 12 * number)).image)).id for number in range(15)]
    with working(redis_url, tmp_path, device, **ALL):
        results = wait_until_done(client)
    verdicts = [results[one].verdict is Verdict.INVALID for one in ids]
    assert verdicts == [False] * 3 + [True] * 9 + [False] * 3
    assert results[ids[5]].reason == "frozen: 4 or more frames in a row with the very same pixels"
    assert sum(device.sizes) == 6


def test_a_camera_on_demand_may_show_a_picture_again(redis_url: str, client: Client, tmp_path: Path) -> None:
    publisher = FramePublisher(settings_for(redis_url))
    frames = [replace(raw(PART), camera=camera) for camera in ("http", "c1") for _ in range(6)]
    ids = [publisher.publish(frame).id for frame in frames]
    with working(redis_url, tmp_path, FaultyDevice(lambda maps: maps), **ALL):
        results = wait_until_done(client)
    assert [results[one].verdict is Verdict.INVALID for one in ids] == [False] * 6 + [False] * 3 + [True] * 3


def test_each_check_can_be_switched_off(redis_url: str, client: Client, tmp_path: Path) -> None:
    with working(redis_url, tmp_path, FaultyDevice(lambda maps: maps)) as publisher:
        for _ in range(30):
            publisher.publish(flat(0))
        results = wait_until_done(client)
    assert {result.verdict for result in results.values()} == {Verdict.OK}
    assert not client.execute_command("EXISTS", KEYS.pictures)


def refuse_writes(client: Client, seconds: float) -> None:
    """As a primary does that has lost its replicas; the commands that it knows to be reads go on."""
    client.execute_command("CONFIG", "SET", "min-replicas-to-write", 1)
    undo = threading.Timer(seconds, client.execute_command, ("CONFIG", "SET", "min-replicas-to-write", 0))
    undo.start()


def test_redis_away_at_the_look_for_frozen_cameras_loses_no_frame_and_guesses_nothing(
    redis_url: str, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given that Redis refuses work once the first frames are read, and before it is asked whether they are frozen
    looks: list[str] = []

    def digest(image: models.Image) -> str:
        if not looks:
            refuse_writes(client, 0.4)
        looks.append(picture_digest(image))
        return looks[-1]

    monkeypatch.setattr("worker.runtime.prepare.picture_digest", digest)
    device = FaultyDevice(lambda maps: maps)
    publisher = FramePublisher(settings_for(redis_url))
    ids = [publisher.publish(raw(PART)).id for _ in range(8)]
    with working(redis_url, tmp_path, device, **ALL, work__decode_threads=1):
        results = wait_until_done(client)
    # Then each was read and decoded once, and is judged as if nothing had been
    assert len(looks) == 8
    assert [results[one].verdict is Verdict.INVALID for one in ids] == [False] * 3 + [True] * 5
    assert sum(device.sizes) == 3
    assert read_ledger(client, KEYS).difference == 0


def test_a_verdict_that_redis_takes_only_after_the_deadline_is_late(
    redis_url: str, client: Client, tmp_path: Path
) -> None:
    # Given a device that is quick, and a Redis that refuses the commit until the deadline is over
    def quick(maps: Batch) -> Batch:
        refuse_writes(client, 1.6)
        return maps

    with working(redis_url, tmp_path, FaultyDevice(quick)) as publisher:
        frame = publisher.publish(flat(255, deadline_ms=1_500)).id
        result = wait_until_done(client)[frame]
    assert result.verdict is Verdict.LATE
    assert result.reason.endswith("past the deadline of 1500 ms; would be NG")
    assert result.score is not None
    assert read_ledger(client, KEYS).verdicts["LATE"] == 1


@pytest.mark.parametrize(
    ("verdict", "reason", "said"),
    [
        (Verdict.OK, "", "would be OK"),
        (Verdict.INVALID, "dark: brightness 0.010", "would be INVALID (dark: brightness 0.010)"),
        (
            Verdict.LATE,
            "12 ms past the deadline of 5 ms; not inspected",
            "12 ms past the deadline of 5 ms; not inspected",
        ),
    ],
)
def test_past_its_deadline_a_frame_is_late_and_says_what_else(verdict: Verdict, reason: str, said: str) -> None:
    now = 1_700_000_000_000_000_000
    frame = Frame("c1", b"x", captured_at=now - 20_000_000, published_at=now, deadline_ms=5)
    late = in_time(frame, Result("1-1", "c1", verdict, reason=reason), now)
    assert late.verdict is Verdict.LATE
    assert late.reason.endswith(said)
    assert late.reason.count("deadline") == 1
    soon = in_time(frame, Result("1-1", "c1", verdict, reason=reason), now - 16_000_000)
    assert (soon.verdict, soon.reason) == (verdict, reason)


@pytest.mark.slow
def test_two_workers_tell_a_frozen_camera_together(redis_url: str, tmp_path: Path) -> None:
    port = free_port()
    core = min(os.sched_getaffinity(0))
    with Pool(redis_url, tmp_path, devices=f"cpu,cpu:{core}", metrics__port=port) as pool:
        pool.ready(workers=2)
        # Given a camera that freezes among others that live, and lives again
        still = models.jpeg(PART)
        before = [pool.publish(models.jpeg(part), camera="left") for part in parts(4)]
        frozen = []
        for number in range(80):
            frozen.append(pool.publish(still, camera="left"))
            pool.publish(models.jpeg(GeneratedLine(2, size=64).part(number).image), camera="right")
        after = [pool.publish(models.jpeg(part), camera="left") for part in parts(10)]
        books = pool.wait_until_done()
        results = {result.frame: result for result in pool.results()}

        # Then both worked on it, each frame has one result, and of the still ones all but the first 24 are INVALID
        assert len(results) == len(pool.results()) == 174
        assert books.difference == 0
        assert len({results[one].worker for one in frozen}) == 2
        told = [one for one in frozen if results[one].verdict is Verdict.INVALID]
        assert len(told) == 80 - 24
        assert {results[one].reason.partition(":")[0] for one in told} == {"frozen"}
        assert set(frozen[60:]) <= set(told)  # the first ones may be mixed up by as many as are in hand
        assert not any(results[one].verdict is Verdict.INVALID for one in before + after)
        assert books.verdicts["INVALID"] == len(told)
        counted = {(("camera", "left"), ("line", "test"), ("reason", "frozen")): len(told)}
        pool.wait_for(lambda: scrape(port)["line_invalid_frames_total"] == counted, "all counted")


def parts(count: int) -> list[models.Image]:
    return [GeneratedLine(5, size=64).part(number).image for number in range(count)]
