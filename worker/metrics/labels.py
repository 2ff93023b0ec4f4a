"""Labels and buckets that several metrics share."""

from __future__ import annotations

LATENCY_BUCKETS_S = (
    0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075,
    0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 60.0,
)  # fmt: skip

SCORE_RATIO_BUCKETS = (
    0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0,
    1.05, 1.1, 1.2, 1.35, 1.5, 1.75, 2.0, 3.0, 5.0, 10.0,
)  # fmt: skip
"""Close together about 1, where a score is the threshold: what is up to it is OK, what is above NG."""

CAMERAS_KEPT = 256
OTHER_CAMERAS = "?"
"""The label of all cameras beyond the first `CAMERAS_KEPT`; no camera can be called so."""


class CameraLabels:
    """A camera's label: whoever publishes makes names up, and each is a set of series that stays for good."""

    def __init__(self, kept: int = CAMERAS_KEPT) -> None:
        self._kept = kept
        self._names: set[str] = set()

    def __call__(self, camera: str) -> str:
        """Its name for the first so many cameras, `?` for later ones; the line as a whole stays empty."""
        if camera and camera not in self._names:
            if len(self._names) >= self._kept:
                return OTHER_CAMERAS
            self._names.add(camera)
        return camera
