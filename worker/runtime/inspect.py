"""The worker: three stages that overlap. The main thread drives the device and does nothing else.

reader (read, decode, preprocess) ─▶ device (batch, infer) ─▶ publisher (postprocess, commit)
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NoReturn

import numpy as np
import numpy.typing as npt
import structlog

from worker.batching import collect
from worker.devices import Device
from worker.errors import EngineError, LineError
from worker.inference.predictor import Predictor
from worker.metrics import WorkerMetrics
from worker.runtime.evidence import EvidenceKeeper
from worker.runtime.handover import Ending, HandOver, Inferred, InHand, Prepared
from worker.runtime.prepare import Preparer
from worker.runtime.progress import STAGES, Progress
from worker.runtime.publisher import Publisher
from worker.runtime.reader import Reader
from worker.runtime.verdict import Origin
from worker.settings import Settings
from worker.stream.commit import Committer
from worker.stream.connection import connect
from worker.stream.consume import FrameConsumer
from worker.stream.frozen import FrozenCameras
from worker.stream.keys import LineKeys

log = structlog.get_logger()

_IDLE_S = 0.5
_BATCHES_IN_HAND = 4  # one being read, one in the device and one begun, one being published


@dataclass(frozen=True, slots=True)
class Running:
    """A batch in the device, since `started` (monotonic seconds); `maps` waits for its anomaly maps."""

    batch: list[Prepared]
    started: float
    maps: Callable[[], npt.NDArray[np.float32]]


class Worker:
    """Inspects frames on one device until `stop` is set; then finishes what it has in hand and leaves."""

    def __init__(
        self,
        settings: Settings,
        device: Device,
        name: str,
        predictor: Predictor,
        progress: Progress,
        metrics: WorkerMetrics,
        stop: threading.Event,
    ) -> None:
        keys = LineKeys(settings.line)
        engine = predictor.engine
        origin = Origin(predictor.bundle.identity, engine.name, engine.precision, str(device), name)
        self._batch = settings.batch
        self._predictor = predictor
        self._progress = progress
        self._metrics = metrics
        self._labels = (name, str(device))
        metrics.device_failures.labels(*self._labels)  # there from the start, so that a rate sees the first one
        self._stop = stop
        self._stopped_at = 0.0
        self._failure: BaseException | None = None
        self._running: Running | None = None
        self._busy_until = 0.0
        self._in_hand = InHand(settings.batch.max_batch * _BATCHES_IN_HAND)
        folder, in_hand = settings.evidence.folder, self._in_hand
        self._evidence = EvidenceKeeper(settings, folder, name, lambda: in_hand.is_well_filled) if folder else None
        self._prepared: HandOver[Prepared] = HandOver(settings.batch.max_batch * _BATCHES_IN_HAND)
        self._ended: HandOver[list[Ending]] = HandOver(_BATCHES_IN_HAND)
        # A connection each: the reader's blocks at the server while the publisher commits.
        reading = connect(settings)
        self._consumer = FrameConsumer(reading, keys, name, settings.work.claim_idle_ms, settings.work.forget_worker_s)
        self._reader = Reader(
            settings, self._consumer, FrozenCameras(reading, keys, settings.watch.frozen_after),
            Preparer(settings, predictor, origin), origin, self._in_hand, self._prepared, self._ended,
            lambda: progress.stamp("reader"),
        )  # fmt: skip
        self._publisher = Publisher(
            Committer(connect(settings), keys, settings.keep), predictor, origin, self._in_hand,
            self._ended, progress, metrics, self._evidence,
        )  # fmt: skip

    def run(self) -> None:
        """Inspect until told to stop; what any stage raised is raised here once the others have ended."""
        if self._evidence:
            self._evidence.start()
        try:
            self._inspect()
        finally:
            if self._evidence:
                self._evidence.finish(self._stopped_at or time.monotonic(), self._stamp_all)

    def _inspect(self) -> None:
        reader = self._start("reader", lambda: self._reader.run(self._stop))
        publisher = self._start("publisher", self._publisher.run)
        self._progress.mark_ready()
        log.info("worker ready")
        while not ((self._prepared.drained and not self._running) or self._failure):
            self._step()
            if self._stop.is_set() and not self._stopped_at:
                self._stopped_at = time.monotonic()
            if not reader.is_alive():
                self._prepared.closed.set()
        self._ended.closed.set()
        while publisher.is_alive() and not self._failure:
            self._progress.stamp("device")
            self._progress.stamp("reader")  # it has ended; only the publisher is still at work
            publisher.join(_IDLE_S)
        if self._failure:
            raise self._failure
        self._consumer.leave()
        log.info("worker drained")

    def _stamp_all(self) -> None:
        for stage in STAGES:
            self._progress.stamp(stage)

    def _step(self) -> None:
        """One step of the device: begin a batch, then wait for the one before it and hand that on.

        So the device has its next batch when it is done with one. Nothing is waited for while one is at work.
        """
        self._progress.stamp("device")
        if self._running and len(self._prepared) < self._batch.max_batch:
            self._end(self._running)
            self._running = None
        batch = collect(
            self._prepared.get,
            lambda: self._reader.preparing > 0,
            self._batch.max_batch,
            0.0 if self._running else self._batch.max_wait_ms / 1e3,
            _IDLE_S,
            time.monotonic,
        )
        before, self._running = self._running, self._begin(batch) if batch else None
        if before:
            self._end(before)

    def _begin(self, batch: list[Prepared]) -> Running:
        started = time.monotonic()
        for item in batch:
            item.timings_ms["wait"] = (started - item.ready_at) * 1e3
        try:
            return Running(batch, started, self._predictor.start([item.input for item in batch]))
        except EngineError as error:
            return Running(batch, started, partial(_raise, error))

    def _end(self, running: Running) -> None:
        inferred = self._inferred(running)
        now = time.monotonic()
        busy_s, self._busy_until = now - max(running.started, self._busy_until), now
        self._progress.add_busy(busy_s)
        self._metrics.device_busy_seconds.labels(*self._labels).inc(busy_s)
        self._metrics.batch_size.observe(len(running.batch))
        for done in inferred:
            done.prepared.timings_ms["infer"] = (now - running.started) * 1e3
        if inferred:
            self._ended.put([*inferred], lambda: self._progress.stamp("device"))

    def _inferred(self, running: Running) -> list[Inferred]:
        """The batch with its maps; if the device failed, frame by frame, so that a bad one harms only itself.

        A frame that fails alone stays pending: it is delivered again until `max_attempts`.
        """
        batch = running.batch
        try:
            return [Inferred(item, anomaly_map) for item, anomaly_map in zip(batch, running.maps(), strict=True)]
        except EngineError as error:
            self._metrics.device_failures.labels(*self._labels).inc()
            if len(batch) == 1:
                log.error("frame failed in the device", frame=batch[0].frame.id, error=str(error))
                self._in_hand.remove(batch[0].frame.id)
                return []
            log.warning("batch failed in the device; trying each frame alone", size=len(batch), error=str(error))
            return [done for item in batch for done in self._inferred(self._begin([item]))]

    def _start(self, name: str, run: Callable[[], None]) -> threading.Thread:
        def guarded() -> None:
            try:
                run()
            except BaseException as error:
                log.error("stage failed", stage=name, error=str(error), exc_info=not isinstance(error, LineError))
                self._failure = error
                self._stop.set()
                self._prepared.broken.set()  # the frames in hand stay pending: the next worker has them
                self._ended.broken.set()

        thread = threading.Thread(target=guarded, name=name, daemon=True)
        thread.start()
        return thread


def _raise(error: Exception) -> NoReturn:
    raise error
