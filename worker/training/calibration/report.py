"""What thresholds promise, in words."""

from __future__ import annotations

from collections.abc import Mapping

from worker.training.calibrate import Calibration
from worker.training.calibration.thresholds import Thresholds


def report(thresholds: Thresholds, rate: float, old: float, old_of_cameras: Mapping[str, float]) -> list[str]:
    """A line each for what people should know about new thresholds.

    Args:
        rate: the false-reject rate that was wanted.
        old, old_of_cameras: the thresholds of the version before.
    """
    lines = []
    if thresholds.repeated:
        lines.append(
            f"frames that show a picture which was there already, and count for nothing: {thresholds.repeated:,}"
        )
    lines += [f"threshold {thresholds.common.threshold:.4g}, was {old:.4g}", promise(thresholds.common, rate)]
    for name, one in thresholds.cameras.items():
        before = old_of_cameras.get(name, old)
        lines += [f"camera {name}: threshold {one.threshold:.4g}, was {before:.4g}", promise(one, rate)]
    for name, count in thresholds.too_few.items():
        needed = thresholds.common.statistics["frames_needed"]
        lines.append(
            f"camera {name}: has the common threshold, since a promise of its own takes {needed:,.0f} frames that "
            f"differ, and it has {count:,}"
        )
    if gone := sorted(set(old_of_cameras) - set(thresholds.cameras)):
        lines.append(f"cameras that had a threshold of their own and have the common one now: {', '.join(gone)}")
    return lines


def promise(calibration: Calibration, rate: float) -> str:
    """What may be expected of a threshold; `rate` is the false-reject rate that was wanted."""
    known = calibration.statistics
    text = (
        f"Promised with {percent(known['confidence'])} confidence, from {known['frames']:,.0f} frames that differ: at "
        f"most {100 * known['promised_rate']:.3g} % of good frames are rejected in the long run, and at most "
        f"{known['next_rejected']:,.0f} of the next {known['next_frames']:,.0f}."
    )
    if calibration.promised:
        return text
    return (
        f"{text} To promise {percent(rate)} takes {known['frames_needed']:,.0f} frames, "
        f"{known['frames_missing']:,.0f} more. The threshold is an estimate: {known['margin']} times the highest score."
    )


def percent(share: float) -> str:
    """`1 %` for 0.01."""
    return f"{100 * share:.6g} %"
