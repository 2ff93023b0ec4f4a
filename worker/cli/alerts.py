"""`line-worker alerts`: verdicts into alert events, and the events to people."""

from __future__ import annotations

import click

from worker.cli.common import settings_options, stop_on_signals
from worker.settings import Settings

_EPILOG = """\b
Examples:
  line-worker alerts
  line-worker alerts --webhook https://example.com/hooks/line --line demo
  LINE_ALERTS__ANOMALY__RAISE_AT=1 LINE_ALERTS__ANOMALY__WINDOW=1 line-worker alerts
  line-worker watch alerts                      see what it says, from anywhere

\b
An alert is raised, updated while it is open, and cleared; all three carry the same alert_id.
One process a line is enough. It may be killed and started again at any time: no alert is lost or
raised twice. A webhook that is down gets what it missed, in order, once it is back; should it get an
event twice, the header Idempotency-Key is the same.
Rules and limits are the settings under `alerts`; `line-worker config` shows them.
"""


@click.command(epilog=_EPILOG)
@click.option("--webhook", metavar="URL", help="POST each alert event as JSON to this URL.")
@click.option("--metrics-port", type=int, metavar="PORT", help="Port of /metrics; 0: none.")
@settings_options(extra={"webhook": "alerts.webhook.url", "metrics_port": "metrics.alerts_port"})
def alerts(settings: Settings) -> None:
    """Watch the verdicts and raise alerts.

    Three NG of a camera's last five results raise `anomaly`, for example; five good ones in a row clear it.
    Also: invalid, late, camera_silent, backlog and worker_down.
    """
    from worker import logs
    from worker.runtime.alerting import run_alerts

    logs.configure(settings.log, process="alerts")
    run_alerts(settings, stop_on_signals())
