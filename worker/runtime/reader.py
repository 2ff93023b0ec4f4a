"""The reader stage: takes frames from the line, decodes and preprocesses them, hands them to the device."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import structlog

from worker.errors import FrameError, StreamUnavailable
from worker.inference.decode import decode
from worker.inference.predictor import Predictor
from worker.runtime.handover import HandOver, Inferred, InHand, Prepared
from worker.runtime.retry import Outage
from worker.runtime.verdict import Origin, lateness_ms, too_late
from worker.settings import Settings
from worker.stream.commit import Dead, Finished, Outcome
from worker.stream.consume import Delivery, FrameConsumer
from worker.stream.fields import camera_of, frame_from_fields, reply_token_of

log = structlog.get_logger()

_RENEWALS_PER_LEASE = 3
_SWEEPS_PER_LEASE = 4
_SHOW_UP_EVERY_S = 3.0  # well under alerts.worker_down_s


class Reader:
    """Runs in a thread of its own until `stop` is set; decoding runs in a few more, which leave the GIL."""

    def __init__(
        self,
        settings: Settings,
        consumer: FrameConsumer,
        predictor: Predictor,
        origin: Origin,
        in_hand: InHand,
        to_device: HandOver[Prepared],
        to_publisher: HandOver[list[Inferred | Outcome]],
        stamp: Callable[[], None],
    ) -> None:
        self._limits = settings.limits
        self._work = settings.work
        self._consumer = consumer
        self._predictor = predictor
        self._origin = origin
        self._in_hand = in_hand
        self._to_device = to_device
        self._to_publisher = to_publisher
        self._stamp = stamp
        self._recovering = True  # first of all what a dead predecessor of the same name left
        self._joined = False
        self._sweep_at = 0.0
        self._renew_at = 0.0
        self._show_up_at = 0.0

    def run(self, stop: threading.Event) -> None:
        """Read until told to stop, riding out Redis being away."""
        outage = Outage("reader")
        with ThreadPoolExecutor(self._work.decode_threads, thread_name_prefix="decode") as pool:
            while not stop.is_set():
                self._stamp()
                try:
                    deliveries = self._next()
                    outage.over()
                except StreamUnavailable as error:
                    outage.wait(error, stop)
                    continue
                for prepared in pool.map(self._prepare, deliveries):
                    self._keep_alive()  # a read may hold many large images
                    if isinstance(prepared, Prepared):
                        self._to_device.put(prepared, self._keep_alive)
                    else:
                        self._to_publisher.put([prepared], self._keep_alive)

    def _keep_alive(self) -> None:
        """While a slow device makes this stage wait, its frames stay leased."""
        self._stamp()
        with contextlib.suppress(StreamUnavailable):  # the next read will say so
            self._renew()

    def _renew(self) -> None:
        """Be seen, and keep the frames in hand from being taken over, a few times in each lease."""
        if time.monotonic() >= self._show_up_at:
            self._show_up_at = time.monotonic() + _SHOW_UP_EVERY_S
            self._consumer.show_up()
        if time.monotonic() >= self._renew_at:
            self._renew_at = time.monotonic() + self._work.claim_idle_ms / 1000 / _RENEWALS_PER_LEASE
            self._consumer.renew(self._in_hand.ids())

    def _next(self) -> list[Delivery]:
        """Frames that a dead worker left come first, one at a time; then new ones, as many as there is room for."""
        if not self._joined:
            self._consumer.join()
            self._joined = True
        self._renew()
        if self._recovering or self._sweep_due():
            return self._take(self._recover())
        room = self._in_hand.wait_for_room()
        return self._take(self._consumer.read(room) if room > 0 else [])

    def _sweep_due(self) -> bool:
        """Whether it is time to look for frames of dead workers, and there are some."""
        if time.monotonic() < self._sweep_at:
            return False
        if self._consumer.has_idle():
            return True
        self._sweep_at = time.monotonic() + self._work.claim_idle_ms / 1000 / _SWEEPS_PER_LEASE
        return False

    def _recover(self) -> list[Delivery]:
        """At most one frame, and only with nothing else in hand: if it kills the process, it dies alone."""
        if not self._in_hand.wait_until_empty():
            return []
        if self._recovering:
            delivery = self._consumer.recover_own()
            self._recovering = delivery is not None
        else:
            delivery = self._consumer.recover_idle()
        if delivery is None:
            return []
        log.warning("frame taken over", frame=delivery.id, attempts=delivery.attempts)
        return [delivery]

    def _take(self, deliveries: list[Delivery]) -> list[Delivery]:
        for delivery in deliveries:
            self._in_hand.add(delivery.id)
        return deliveries

    def _prepare(self, delivery: Delivery) -> Prepared | Outcome:
        try:
            if delivery.attempts > self._work.max_attempts:
                raise FrameError(
                    "max_attempts",
                    f"delivered {delivery.attempts - 1} times without a verdict: it fails or kills its worker",
                )
            return self._decode(delivery)
        except FrameError as error:
            return self._dead(delivery, error)

    def _decode(self, delivery: Delivery) -> Prepared | Finished:
        started = time.perf_counter()
        now_ns = time.time_ns()
        frame = frame_from_fields(delivery.id, delivery.flat, self._limits, now_ns)
        late_ms = lateness_ms(frame, now_ns)
        if late_ms > 0:
            return Finished(too_late(frame, late_ms, self._origin), frame.reply_to)
        image = decode(frame, self._limits)
        decoded = time.perf_counter()
        model_input = self._predictor.preprocess(image)
        done = time.perf_counter()
        timings = {
            "queue": max(0.0, (now_ns - frame.published_at) / 1e6),
            "decode": (decoded - started) * 1e3,
            "preprocess": (done - decoded) * 1e3,
        }
        return Prepared(frame, model_input, image.shape[:2], time.monotonic(), timings)

    def _dead(self, delivery: Delivery, error: FrameError) -> Dead:
        camera = camera_of(delivery.flat)
        log.warning("frame dead-lettered", frame=delivery.id, camera=camera, reason=error.reason, error=str(error))
        return Dead(
            frame=delivery.id,
            camera=camera,
            reason=error.reason,
            error=str(error),
            attempts=delivery.attempts,
            worker=self._consumer.name,
            at=time.time_ns(),
            reply_to=reply_token_of(delivery.flat),
        )
