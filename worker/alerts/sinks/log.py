"""Alerts as log lines on standard error."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from worker.types import Alert, AlertState, Severity

log = structlog.get_logger()

_LEVELS = {Severity.INFO: "info", Severity.WARNING: "warning", Severity.CRITICAL: "error"}


class Log:
    """One line an event; `error` for what is critical, `info` for what is over."""

    limited = False

    def open(self) -> None:
        """Nothing is needed."""

    def deliver(self, alerts: Sequence[Alert], key: str) -> None:  # noqa: ARG002 - a line that stands twice harms nobody
        """Log the events."""
        for alert in alerts:
            _log(alert)

    def close(self) -> None:
        """Nothing is open."""


def _log(alert: Alert) -> None:
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
