"""From scores to thresholds: one for all cameras, and one for each that has frames enough."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from worker.training.calibrate import Calibration, calibrate, frames_needed
from worker.training.calibration.scores import Scored


@dataclass(frozen=True, slots=True)
class Thresholds:
    """`cameras` have one of their own, with the same promise each; those in `too_few`, with the number of pictures
    that each has, keep the `common` one. `repeated` counts the frames that showed a picture once more.

    The common promise is for frames that come from the cameras in the same shares as those here.
    """

    common: Calibration
    cameras: dict[str, Calibration] = field(default_factory=dict)
    too_few: dict[str, int] = field(default_factory=dict)
    repeated: int = 0


def find_thresholds(
    scored: list[Scored], false_reject_rate: float, confidence: float, *, per_camera: bool = False
) -> Thresholds:
    """Calibrate on the pictures that differ: to see one a hundred times tells no more than to see it once.

    Args:
        per_camera: also for each camera that has a name.

    Raises:
        ValueError: see `calibrate`.
    """
    common = _distinct(scored)
    names = sorted({one.camera for one in scored if one.camera}) if per_camera else []
    of_each = {name: _distinct(one for one in scored if one.camera == name) for name in names}
    needed = frames_needed(false_reject_rate, confidence)
    return Thresholds(
        common=calibrate(common, false_reject_rate, confidence),
        cameras={
            name: calibrate(scores, false_reject_rate, confidence)
            for name, scores in of_each.items()
            if len(scores) >= needed
        },
        too_few={name: len(scores) for name, scores in of_each.items() if len(scores) < needed},
        repeated=len(scored) - len(common),
    )


def _distinct(scored: Iterable[Scored]) -> list[float]:
    return list({one.picture: one.score for one in scored}.values())
