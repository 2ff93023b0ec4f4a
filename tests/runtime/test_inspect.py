"""The worker's stages in one process, with a device that fails as a test tells it to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import models
import numpy as np
import numpy.typing as npt
import pytest
from line_settings import settings_for

from worker.devices import Device
from worker.errors import EngineError
from worker.inference.bundle import load_bundle
from worker.inference.predictor import Predictor
from worker.inference.preprocess import normalised
from worker.metrics import WorkerMetrics
from worker.runtime.inspect import Worker
from worker.runtime.progress import Progress
from worker.stream.connection import Client
from worker.stream.dead import DeadLetters
from worker.stream.fields import result_from_fields
from worker.stream.keys import LineKeys
from worker.stream.ledger import read_ledger
from worker.stream.publish import FramePublisher
from worker.types import Encoding, Frame, Image, Result, Verdict

Batch = npt.NDArray[np.float32]
KEYS = LineKeys("test")
UNWATCHED = {"watch__dark": 0, "watch__blown_out": 0, "watch__frozen_after": 0}  # these pictures are black and white


class FaultyDevice:
    """A device whose map is the input's first channel; `fault` may raise or change it."""

    name, precision = "double", "fp32"

    def __init__(self, fault: Callable[[Batch], Batch]) -> None:
        self._fault = fault
        self.sizes: list[int] = []

    def encode(self, image: Image) -> Batch:
        return normalised(image, load_bundle(models.bare_export()).transforms)

    def start(self, batch: Batch) -> Callable[[], Batch]:
        return lambda: self.run(batch)

    def run(self, batch: Batch) -> Batch:
        self.sizes.append(len(batch))
        return self._fault(batch[:, 0])


@contextmanager
def working(
    url: str, folder: Path, device: FaultyDevice, name: str = "w1", **flags: object
) -> Iterator[FramePublisher]:
    """A worker in a thread; at the end it drains and must have ended well."""
    flags = {"batch__max_batch": 4, "batch__max_wait_ms": 50, "work__claim_idle_ms": 1_000} | UNWATCHED | flags
    settings, stop = settings_for(url, **flags), threading.Event()
    predictor = Predictor(load_bundle(models.bare_export()), device, threshold=1.5)
    progress = Progress(folder / f"{name}.progress")
    progress.reset()
    publisher = FramePublisher(settings)
    failures: list[BaseException] = []

    def run() -> None:
        try:
            Worker(settings, Device("cpu"), name, predictor, progress, WorkerMetrics(), stop).run()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield publisher
    finally:
        stop.set()
        thread.join(20)
    assert not thread.is_alive()
    assert not failures


def flat(value: int, **fields: object) -> Frame:
    """A picture of one grey value; 255 is an anomaly to this device, 0 is none."""
    image = np.full((32, 32, 3), value, np.uint8)
    return Frame("c1", image.tobytes(), Encoding.RGB8, 32, 32, **fields)  # type: ignore[arg-type]


def wait_until_done(client: Client) -> dict[str, Result]:
    deadline = time.monotonic() + 20
    while read_ledger(client, KEYS).backlog:
        assert time.monotonic() < deadline, "frames are left"
        time.sleep(0.02)
    page = client.execute_command("XRANGE", KEYS.results, "-", "+")
    results = [result_from_fields(entry_id.decode(), fields) for entry_id, fields in page]
    assert len(results) == len({result.frame for result in results})
    return {result.frame: result for result in results}


def test_frames_are_batched_up_to_the_limit(redis_url: str, client: Client, tmp_path: Path) -> None:
    device = FaultyDevice(lambda maps: maps)
    publisher = FramePublisher(settings_for(redis_url))
    ids = [publisher.publish(flat(value)).id for value in [0, 255] * 6]
    with working(redis_url, tmp_path, device):
        results = wait_until_done(client)
    assert device.sizes == [4, 4, 4]
    assert [results[one].verdict for one in ids] == [Verdict.OK, Verdict.NG] * 6


def test_one_frame_alone_does_not_wait_for_a_full_batch(redis_url: str, client: Client, tmp_path: Path) -> None:
    device = FaultyDevice(lambda maps: maps)
    with working(redis_url, tmp_path, device) as publisher:
        frame = publisher.publish(flat(0)).id
        assert wait_until_done(client)[frame].timings["wait"] < 1000
    assert device.sizes == [1]


def test_a_batch_that_fails_is_tried_frame_by_frame(redis_url: str, client: Client, tmp_path: Path) -> None:
    # Given a device that fails on any batch with a white frame
    def fails(maps: Batch) -> Batch:
        if (maps > 2).any():
            raise EngineError("white is too bright")
        return maps

    device = FaultyDevice(fails)
    publisher = FramePublisher(settings_for(redis_url))
    ids = [publisher.publish(flat(value)).id for value in (0, 0, 255, 0)]
    with working(redis_url, tmp_path, device, work__max_attempts=2):
        results = wait_until_done(client)
    # Then its neighbours get their verdicts, and it is buried after its attempts
    assert set(results) == {ids[0], ids[1], ids[3]}
    (letter,) = DeadLetters(client, KEYS).list()
    assert (letter.frame, letter.reason, letter.attempts) == (ids[2], "max_attempts", 3)
    assert device.sizes[:5] == [4, 1, 1, 1, 1]
    assert read_ledger(client, KEYS).difference == 0


def test_a_device_that_recovers_costs_no_frame(redis_url: str, client: Client, tmp_path: Path) -> None:
    calls = iter(range(100))

    def fails_at_first(maps: Batch) -> Batch:
        if next(calls) < 3:
            raise EngineError("not yet")
        return maps

    with working(redis_url, tmp_path, FaultyDevice(fails_at_first), work__max_attempts=5) as publisher:
        frame = publisher.publish(flat(0)).id
        assert wait_until_done(client)[frame].verdict is Verdict.OK


def test_a_map_that_is_no_number_is_invalid_and_never_ok(redis_url: str, client: Client, tmp_path: Path) -> None:
    def breaks(maps: Batch) -> Batch:
        return np.where(maps > 2, np.float32("nan"), maps)

    with working(redis_url, tmp_path, FaultyDevice(breaks)) as publisher:
        bad, good = publisher.publish(flat(255)).id, publisher.publish(flat(0)).id
        results = wait_until_done(client)
    assert (results[bad].verdict, results[bad].reason) == (Verdict.INVALID, "score_not_finite")
    assert results[good].verdict is Verdict.OK
    assert read_ledger(client, KEYS).verdicts["INVALID"] == 1


def test_a_device_too_slow_for_the_deadline_gives_late_and_keeps_what_it_saw(
    redis_url: str, client: Client, tmp_path: Path
) -> None:
    def slow(maps: Batch) -> Batch:
        time.sleep(0.3)
        return maps

    with working(redis_url, tmp_path, FaultyDevice(slow)) as publisher:
        frame = publisher.publish(flat(255, deadline_ms=200)).id
        result = wait_until_done(client)[frame]
    assert result.verdict is Verdict.LATE
    assert result.reason.endswith("past the deadline of 200 ms; would be NG")
    assert result.score is not None
    assert result.label_map


def test_a_slow_device_keeps_its_frames(redis_url: str, client: Client, tmp_path: Path) -> None:
    # Given a device whose batch takes longer than the lease, and another worker that looks for idle frames
    def slow(maps: Batch) -> Batch:
        time.sleep(1.5)
        return maps

    first, second = FaultyDevice(slow), FaultyDevice(slow)
    publisher = FramePublisher(settings_for(redis_url))
    ids = [publisher.publish(flat(0)).id for _ in range(8)]
    with working(redis_url, tmp_path, first, "w1"), working(redis_url, tmp_path, second, "w2"):
        assert set(wait_until_done(client)) == set(ids)
    # Then no frame was inspected twice
    assert sum(first.sizes + second.sizes) == 8


@pytest.mark.parametrize("batch", [1, 4])
def test_a_worker_takes_no_more_than_it_can_soon_finish(
    batch: int, redis_url: str, client: Client, tmp_path: Path
) -> None:
    gate = threading.Event()

    def waits(maps: Batch) -> Batch:
        gate.wait(10)
        return maps

    publisher = FramePublisher(settings_for(redis_url))
    for _ in range(40):
        publisher.publish(flat(0))
    with working(redis_url, tmp_path, FaultyDevice(waits), batch__max_batch=batch):
        time.sleep(0.4)
        assert 0 < read_ledger(client, KEYS).pending <= 4 * batch
        gate.set()
        wait_until_done(client)
