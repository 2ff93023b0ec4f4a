"""The verdict on a frame, and the result that carries it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from worker.inference.postprocess import encode_label_map
from worker.types import Frame, Prediction, Result, Verdict

_NS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Origin:
    """Who says it: stands on every result of a worker."""

    model: str
    engine: str
    precision: str
    device: str
    worker: str


def lateness_ms(frame: Frame, now_ns: int) -> float:
    """Milliseconds past the frame's deadline; 0 or less while there is time, or no deadline.

    Nothing is captured after it was published: a camera whose clock is ahead gets no more time for that.
    """
    if not frame.deadline_ms:
        return 0.0
    return (now_ns - min(frame.captured_at, frame.published_at)) / _NS_PER_MS - frame.deadline_ms


def predicted(frame: Frame, prediction: Prediction, timings_ms: dict[str, float], origin: Origin) -> Result:
    """The result of an inspected frame."""
    reason = "score_not_finite" if prediction.verdict is Verdict.INVALID else ""
    return replace(
        _result(frame, prediction.verdict, reason, origin),
        score=prediction.score,
        threshold=prediction.threshold,
        size=prediction.label_map.shape[:2],
        image_size=prediction.image_size,
        label_map=encode_label_map(prediction.label_map),
        regions=prediction.regions,
        timings=_rounded(timings_ms),
    )


def invalid(
    frame: Frame, problem: str, image_size: tuple[int, int], timings_ms: dict[str, float], origin: Origin
) -> Result:
    """The result of a frame whose picture may not be trusted; no model looked at it.

    Args:
        problem: a stable word, a colon, and the figures for people.
        image_size: (H, W).
    """
    result = _result(frame, Verdict.INVALID, problem, origin)
    return replace(result, image_size=image_size, timings=_rounded(timings_ms))


def in_time(frame: Frame, result: Result, now_ns: int) -> Result:
    """The result as it may be committed now: past the frame's deadline it is LATE, whatever was found."""
    late_ms = lateness_ms(frame, now_ns)
    if late_ms <= 0 or result.verdict is Verdict.LATE:
        return result
    found = f"{result.verdict} ({result.reason})" if result.reason else f"{result.verdict}"
    reason = f"{late_ms:.0f} ms past the deadline of {frame.deadline_ms} ms; would be {found}"
    return replace(result, verdict=Verdict.LATE, reason=reason)


def too_late(frame: Frame, late_ms: float, origin: Origin) -> Result:
    """The result of a frame whose deadline passed before the device could look at it."""
    reason = f"{late_ms:.0f} ms past the deadline of {frame.deadline_ms} ms; not inspected"
    return _result(frame, Verdict.LATE, reason, origin)


def _rounded(timings_ms: dict[str, float]) -> dict[str, float]:
    return {stage: round(value, 3) for stage, value in timings_ms.items()}


def _result(frame: Frame, verdict: Verdict, reason: str, origin: Origin) -> Result:
    return Result(
        frame=frame.id,
        camera=frame.camera,
        verdict=verdict,
        seq=frame.seq,
        part_id=frame.part_id,
        captured_at=frame.captured_at,
        published_at=frame.published_at,
        reason=reason,
        model=origin.model,
        engine=origin.engine,
        precision=origin.precision,
        device=origin.device,
        worker=origin.worker,
    )
