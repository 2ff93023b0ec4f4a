"""The life of one alert: raised, updated while it is open, cleared; and the events that tell of it."""

from __future__ import annotations

import math

from pydantic import BaseModel, ConfigDict

from worker.types import Alert, AlertKind, AlertState, Result, Severity

NS = 1_000_000_000

SEVERITY = {
    AlertKind.ANOMALY: Severity.CRITICAL,
    AlertKind.INVALID: Severity.WARNING,
    AlertKind.LATE: Severity.WARNING,
    AlertKind.CAMERA_SILENT: Severity.CRITICAL,  # its parts go by uninspected
    AlertKind.BACKLOG: Severity.WARNING,
    AlertKind.EVIDENCE: Severity.WARNING,  # inspection goes on, but what it found is not kept
    AlertKind.WORKER_DOWN: Severity.WARNING,  # the others carry on; if they cannot, backlog and late say so
}


class OpenAlert(BaseModel):
    """An alert between raised and cleared. Times are unix nanoseconds.

    `told_count` and `told_at` are those of the last event, so that an update comes neither too often nor
    without news.
    """

    model_config = ConfigDict(frozen=True)

    alert_id: str
    camera: str
    kind: AlertKind
    opened_at: int
    count: int
    told_count: int
    told_at: int


def raise_alert(
    camera: str, kind: AlertKind, key: str, *, at: int, count: int, message: str, result: Result | None = None
) -> tuple[OpenAlert, list[Alert]]:
    """Open an alert. `key` (the frame's id, or the time) makes its id unique, and the same in a replay."""
    alert_id = f"{camera or 'line'}:{kind.value}:{key}"
    opened = OpenAlert(
        alert_id=alert_id, camera=camera, kind=kind, opened_at=at, count=count, told_count=count, told_at=at
    )
    return opened, [_event(opened, AlertState.RAISED, at, message, result)]


def update_alert(
    opened: OpenAlert, *, count: int, at: int, every_s: float, message: str, result: Result | None = None
) -> tuple[OpenAlert, list[Alert]]:
    """Note the new count; tell of it where it grew and the last event is `every_s` ago."""
    opened = opened.model_copy(update={"count": count})
    if count <= opened.told_count or at - opened.told_at < every_s * NS:
        return opened, []
    opened = opened.model_copy(update={"told_count": count, "told_at": at})
    return opened, [_event(opened, AlertState.UPDATED, at, message, result)]


def clear_alert(opened: OpenAlert, at: int, message: str, result: Result | None = None) -> list[Alert]:
    """The event that ends the alert."""
    return [_event(opened, AlertState.CLEARED, at, message, result)]


def _event(opened: OpenAlert, state: AlertState, at: int, message: str, result: Result | None) -> Alert:
    score = result.score if result else None
    return Alert(
        alert_id=opened.alert_id,
        camera=opened.camera,
        kind=opened.kind,
        state=state,
        severity=SEVERITY[opened.kind],
        opened_at=opened.opened_at,
        at=max(at, opened.told_at),  # clocks step back; the events of an alert do not
        frame=result.frame if result else "",
        score=score if score is not None and math.isfinite(score) else None,
        count=opened.count,
        message=message,
        model=result.model if result else "",
    )
