"""The worker: three stages that overlap. The main thread drives the device and does nothing else.

reader (read, decode, preprocess) ─▶ device (batch, infer) ─▶ publisher (postprocess, commit)
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import structlog

from worker.batching import collect
from worker.devices import Device
from worker.errors import EngineError, LineError
from worker.inference.predictor import Predictor
from worker.metrics import WorkerMetrics
from worker.runtime.handover import Ending, HandOver, Inferred, InHand, Prepared
from worker.runtime.prepare import Preparer
from worker.runtime.progress import Progress
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
_BATCHES_IN_HAND = 3  # one being read, one in the device, one being published


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
        self._failure: BaseException | None = None
        self._in_hand = InHand(settings.batch.max_batch * _BATCHES_IN_HAND)
        self._prepared: HandOver[Prepared] = HandOver(settings.batch.max_batch * _BATCHES_IN_HAND)
        self._ended: HandOver[list[Ending]] = HandOver(_BATCHES_IN_HAND)
        # A connection each: the reader's blocks at the server while the publisher commits.
        reading = connect(settings)
        self._consumer = FrameConsumer(reading, keys, name, settings.work.claim_idle_ms)
        self._reader = Reader(
            settings, self._consumer, FrozenCameras(reading, keys, settings.watch.frozen_after),
            Preparer(settings, predictor, origin), origin, self._in_hand, self._prepared, self._ended,
            lambda: progress.stamp("reader"),
        )  # fmt: skip
        self._publisher = Publisher(
            Committer(connect(settings), keys, settings.keep), predictor, origin, self._in_hand,
            self._ended, progress, metrics,
        )  # fmt: skip

    def run(self) -> None:
        """Inspect until told to stop; what any stage raised is raised here once the others have ended."""
        reader = self._start("reader", lambda: self._reader.run(self._stop))
        publisher = self._start("publisher", self._publisher.run)
        self._progress.mark_ready()
        log.info("worker ready")
        while not (self._prepared.drained or self._failure):
            self._inspect_batch()
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

    def _inspect_batch(self) -> None:
        """One step of the device: collect a batch, infer it, hand it on."""
        self._progress.stamp("device")
        batch = collect(
            self._prepared.get,
            lambda: self._reader.preparing > 0,
            self._batch.max_batch,
            self._batch.max_wait_ms / 1e3,
            _IDLE_S,
            time.monotonic,
        )
        if not batch:
            return
        started = time.monotonic()
        for item in batch:
            item.timings_ms["wait"] = (started - item.ready_at) * 1e3
        inferred = self._infer(batch)
        busy_s = time.monotonic() - started
        self._progress.add_busy(busy_s)
        self._metrics.device_busy_seconds.labels(*self._labels).inc(busy_s)
        self._metrics.batch_size.observe(len(batch))
        for done in inferred:
            done.prepared.timings_ms["infer"] = busy_s * 1e3
        if inferred:
            self._ended.put([*inferred], lambda: self._progress.stamp("device"))

    def _infer(self, batch: list[Prepared]) -> list[Inferred]:
        """The batch by one device call; if that fails, frame by frame, so that a bad one harms only itself.

        A frame that fails alone stays pending: it is delivered again until `max_attempts`.
        """
        try:
            maps = self._predictor.infer([item.input for item in batch])
            return [Inferred(item, anomaly_map) for item, anomaly_map in zip(batch, maps, strict=True)]
        except EngineError as error:
            self._metrics.device_failures.labels(*self._labels).inc()
            if len(batch) == 1:
                log.error("frame failed in the device", frame=batch[0].frame.id, error=str(error))
                self._in_hand.remove(batch[0].frame.id)
                return []
            log.warning("batch failed in the device; trying each frame alone", size=len(batch), error=str(error))
            return [done for item in batch for done in self._infer([item])]

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
