"""From a delivered entry to a frame that is ready for the device, or to its end without it."""

from __future__ import annotations

import time

import structlog

from worker.errors import FrameError
from worker.inference.decode import decode
from worker.inference.health import ImageChecks, picture_digest
from worker.inference.predictor import Predictor
from worker.runtime.handover import Judged, Prepared, Ready
from worker.runtime.verdict import Origin, invalid, lateness_ms, too_late
from worker.settings import Settings
from worker.stream.commit import Dead
from worker.stream.consume import Delivery
from worker.stream.fields import camera_of, frame_from_fields, reply_token_of

log = structlog.get_logger()


class Preparer:
    """Decodes, checks and preprocesses; called from several threads at once."""

    def __init__(self, settings: Settings, predictor: Predictor, origin: Origin) -> None:
        self._limits = settings.limits
        self._max_attempts = settings.work.max_attempts
        self._checks = ImageChecks(settings.watch, predictor.bundle.image_statistics)
        self._frozen_after = settings.watch.frozen_after
        self._on_demand = settings.cameras_on_demand
        self._predictor = predictor
        self._origin = origin

    def __call__(self, delivery: Delivery) -> Ready:
        """Prepared for the device; judged where it is too late or may not be trusted; dead where it is no picture."""
        try:
            if delivery.attempts > self._max_attempts:
                raise FrameError(
                    "max_attempts",
                    f"delivered {delivery.attempts - 1} times without a verdict: it fails or kills its worker",
                )
            return self._prepare(delivery)
        except FrameError as error:
            return self._dead(delivery, error)

    def _prepare(self, delivery: Delivery) -> Prepared | Judged:
        started = time.perf_counter()
        now_ns = time.time_ns()
        frame = frame_from_fields(delivery.id, delivery.flat, self._limits, now_ns)
        late_ms = lateness_ms(frame, now_ns)
        if late_ms > 0:
            return Judged(frame, too_late(frame, late_ms, self._origin))
        image = decode(frame, self._limits)
        decoded = time.perf_counter()
        problem = self._checks.problem(image)
        is_watched = self._frozen_after > 0 and frame.camera not in self._on_demand
        digest = picture_digest(image) if is_watched and not problem else ""
        checked = time.perf_counter()
        timings = {
            "queue": max(0.0, (now_ns - frame.published_at) / 1e6),
            "decode": (decoded - started) * 1e3,
            "check": (checked - decoded) * 1e3,
        }
        size = image.shape[:2]
        if problem:
            return Judged(frame, invalid(frame, problem, size, timings, self._origin))
        model_input = self._predictor.preprocess(image)
        timings["preprocess"] = (time.perf_counter() - checked) * 1e3
        return Prepared(frame, model_input, size, digest, time.monotonic(), timings)

    def _dead(self, delivery: Delivery, error: FrameError) -> Dead:
        camera = camera_of(delivery.flat)
        log.warning("frame dead-lettered", frame=delivery.id, camera=camera, reason=error.reason, error=str(error))
        return Dead(
            frame=delivery.id,
            camera=camera,
            reason=error.reason,
            error=str(error),
            attempts=delivery.attempts,
            worker=self._origin.worker,
            at=time.time_ns(),
            reply_to=reply_token_of(delivery.flat),
        )
