"""Alert events for the tests of sinks and of delivery."""

from __future__ import annotations

from worker.types import Alert, AlertKind, AlertState, Severity


def alert(number: int = 0, **more: object) -> Alert:
    fields = {"score": 0.5, "count": 3, "message": "three NG", "id": f"{number}-0", "frame": "1-0"} | more
    return Alert(f"c1:anomaly:{number}", "c1", AlertKind.ANOMALY, AlertState.RAISED, Severity.CRITICAL, 1, 2, **fields)
