"""The life of one alert: raised, updated while it is open, acknowledged, cleared; and the events that tell of it.

An event that is `shelved` goes to no sink. What a sink gets of one alert is always raised, then updates and an
acknowledgement, then cleared; or nothing at all.
"""

from __future__ import annotations

import math

from pydantic import BaseModel, ConfigDict

from worker.alerts.shelf import Shelves, is_shelved
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

    `told_count` and `told_at` are those of the last event, so that an update comes neither too often nor without news;
    `message` says what is wrong. `told`: the sinks know of it; not so while it has been on a shelf since it was raised.
    `acknowledged_by`: who has it in hand, empty where nobody has.
    """

    model_config = ConfigDict(frozen=True)

    alert_id: str
    camera: str
    kind: AlertKind
    opened_at: int
    count: int
    told_count: int
    told_at: int
    message: str = ""
    told: bool = True
    acknowledged_at: int = 0
    acknowledged_by: str = ""
    note: str = ""


def raise_alert(
    camera: str,
    kind: AlertKind,
    key: str,
    *,
    at: int,
    count: int,
    message: str,
    result: Result | None = None,
    shelves: Shelves = (),
) -> tuple[OpenAlert, list[Alert]]:
    """Open an alert. `key` (the frame's id, or the time) makes its id unique, and the same in a replay."""
    opened = OpenAlert(
        alert_id=f"{camera or 'line'}:{kind.value}:{key}",
        camera=camera,
        kind=kind,
        opened_at=at,
        count=count,
        told_count=count,
        told_at=at,
        message=message,
        told=not is_shelved(shelves, camera, kind),
    )
    return opened, [_event(opened, AlertState.RAISED, at, message, result)]


def update_alert(
    opened: OpenAlert,
    *,
    count: int,
    at: int,
    every_s: float,
    message: str,
    result: Result | None = None,
    shelves: Shelves = (),
) -> tuple[OpenAlert, list[Alert]]:
    """Note the new count; tell of it where it grew, the last event is `every_s` ago, and nobody has it in hand."""
    opened = opened.model_copy(update={"count": count})
    if opened.acknowledged_by or count <= opened.told_count or at - opened.told_at < every_s * NS:
        return opened, []
    opened = opened.model_copy(update={"told_count": count, "told_at": at, "message": message})
    shelved = is_shelved(shelves, opened.camera, opened.kind)
    return opened, [_event(opened, AlertState.UPDATED, at, message, result, shelved=shelved)]


def tell_alert(opened: OpenAlert, at: int, shelves: Shelves) -> tuple[OpenAlert, list[Alert]]:
    """Tell of an alert that was raised on a shelf, where it is on none any more and nobody has it in hand.

    To a sink, which never heard of it, it is raised now.
    """
    if opened.told or opened.acknowledged_by or is_shelved(shelves, opened.camera, opened.kind):
        return opened, []
    message = f"was shelved and is still open: {opened.message}"
    opened = opened.model_copy(update={"told": True, "told_count": opened.count, "told_at": max(at, opened.told_at)})
    return opened, [_event(opened, AlertState.RAISED, at, message)]


def acknowledge_alert(opened: OpenAlert, at: int, by: str, note: str) -> tuple[OpenAlert, list[Alert]]:
    """Note who has it in hand; the first one counts."""
    if opened.acknowledged_by:
        return opened, []
    at = max(at, opened.told_at)
    opened = opened.model_copy(update={"acknowledged_at": at, "acknowledged_by": by, "note": note, "told_at": at})
    return opened, [_event(opened, AlertState.ACKNOWLEDGED, at, f"acknowledged by {by}")]


def clear_alert(opened: OpenAlert, at: int, message: str, result: Result | None = None) -> list[Alert]:
    """The event that ends the alert; also on a shelf it goes to whoever was told of the alert."""
    return [_event(opened, AlertState.CLEARED, at, message, result)]


def _event(
    opened: OpenAlert,
    state: AlertState,
    at: int,
    message: str,
    result: Result | None = None,
    *,
    shelved: bool = False,
) -> Alert:
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
        by=opened.acknowledged_by if state is AlertState.ACKNOWLEDGED else "",
        note=opened.note if state is AlertState.ACKNOWLEDGED else "",
        shelved=shelved or not opened.told,
    )
