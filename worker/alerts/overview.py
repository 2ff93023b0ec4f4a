"""What is open on a line and what is shelved, as a person sees it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from worker.alerts.conditions import LineState
from worker.alerts.life import SEVERITY, OpenAlert
from worker.alerts.opened import open_alerts
from worker.alerts.policy import CameraState
from worker.alerts.shelf import Shelf, Shelves, in_force, shelved_until
from worker.orders import Scope
from worker.types import AlertKind, Severity


@dataclass(frozen=True, slots=True)
class AlertSeen:
    """An open alert. Times are unix nanoseconds; `acknowledged_at` and `shelved_until` are 0 where it is neither."""

    alert_id: str
    camera: str
    kind: AlertKind
    severity: Severity
    opened_at: int
    count: int
    message: str
    acknowledged_at: int
    acknowledged_by: str
    note: str
    shelved_until: int


@dataclass(frozen=True, slots=True)
class Overview:
    """The open alerts, oldest first, and the shelves, as of `at` (unix nanoseconds)."""

    at: int
    alerts: tuple[AlertSeen, ...]
    shelves: Shelves

    def alert(self, alert_id: str) -> AlertSeen | None:
        """The open alert with this id."""
        return next((alert for alert in self.alerts if alert.alert_id == alert_id), None)

    def of(self, scope: Scope) -> list[AlertSeen]:
        """The open alerts that are meant."""
        return [alert for alert in self.alerts if scope.covers(alert.camera, alert.kind)]

    def shelf(self, scope: Scope) -> Shelf | None:
        """The shelf of exactly these alerts."""
        return next((shelf for shelf in self.shelves if shelf.same(scope)), None)


def overview(cameras: Iterable[CameraState], line: LineState, now: int) -> Overview:
    """What these states hold at `now` (unix nanoseconds)."""
    shelves = in_force(line.shelves, now)
    opened = [alert for state in (*cameras, line) for alert in open_alerts(state)]
    opened.sort(key=lambda alert: (alert.opened_at, alert.alert_id))
    return Overview(now, tuple(_seen(alert, shelves) for alert in opened), shelves)


def _seen(alert: OpenAlert, shelves: Shelves) -> AlertSeen:
    return AlertSeen(
        alert_id=alert.alert_id,
        camera=alert.camera,
        kind=alert.kind,
        severity=SEVERITY[alert.kind],
        opened_at=alert.opened_at,
        count=alert.count,
        message=alert.message,
        acknowledged_at=alert.acknowledged_at,
        acknowledged_by=alert.acknowledged_by,
        note=alert.note,
        shelved_until=shelved_until(shelves, alert.camera, alert.kind),
    )
