"""Results for the tests of alerting."""

from __future__ import annotations

from typing import Any

from worker.types import Result, Verdict

OK, NG, INVALID, LATE = Verdict.OK, Verdict.NG, Verdict.INVALID, Verdict.LATE
MS = 1_000_000
START_MS = 1_700_000_000_000


def result(number: int, verdict: Verdict = OK, *, camera: str = "c1", seq: int | None = None, **more: Any) -> Result:
    """The `number`-th frame of the camera: its frame id grows with it. NG has a score above the threshold."""
    score = {OK: 0.005, NG: 0.02}.get(verdict)
    fields = {"score": score, "threshold": None if score is None else 0.01, "model": "m1"} | more
    return Result(frame=f"{START_MS + number}-0", camera=camera, verdict=verdict, seq=seq, **fields)
