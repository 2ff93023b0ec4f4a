"""Alerts as log lines on standard error."""

from __future__ import annotations

import structlog

from worker.types import Alert, AlertState, Severity

log = structlog.get_logger()

_LEVELS = {Severity.INFO: "info", Severity.WARNING: "warning", Severity.CRITICAL: "error"}


def send_to_log(alert: Alert) -> None:
    """One line an event; `error` for what is critical, `info` for what is over."""
    level = "info" if alert.state is AlertState.CLEARED else _LEVELS[alert.severity]
    getattr(log, level)(
        f"alert {alert.state.value}: {alert.message}",
        alert_id=alert.alert_id,
        camera=alert.camera,
        kind=alert.kind.value,
        state=alert.state.value,
        count=alert.count,
        frame=alert.frame,
    )
