"""`line-worker alerts`: verdicts into alert events, and the events to people; its subcommands are for people."""

from __future__ import annotations

import click

from worker.cli.alert_orders import acknowledge, list_alerts, shelve, unshelve
from worker.cli.common import settings_options, stop_on_signals
from worker.settings import Settings

_EPILOG = """\b
Examples:
  line-worker alerts
  line-worker alerts --webhook https://example.com/hooks/line --line demo
  LINE_ALERTS__ANOMALY__RAISE_AT=1 LINE_ALERTS__ANOMALY__WINDOW=1 line-worker alerts
  line-worker watch alerts                      see what it says, from anywhere
  line-worker alerts list                       what is open now
  line-worker alerts acknowledge --camera left --note "Anna is there"
  line-worker alerts shelve --camera left --for 2h

\b
An alert is raised, updated while it is open, and cleared; all three carry the same alert_id.
One process a line is enough. It may be killed and started again at any time: no alert is lost or
raised twice. A webhook that is down gets what it missed, in order, once it is back; should it get an
event twice, the header Idempotency-Key is the same.
Rules and limits are the settings under `alerts`; `line-worker config` shows them.
"""


@click.group(epilog=_EPILOG, invoke_without_command=True)
@click.option(
    "--webhook",
    metavar="URL",
    help="POST each alert event as JSON to this URL, which `ps` shows: see alerts.webhook.url.",
)
@click.option("--metrics-port", type=int, metavar="PORT", help="Port of /metrics; 0: none.")
@settings_options(extra={"webhook": "alerts.webhook.url", "metrics_port": "metrics.alerts_port"})
@click.pass_context
def alerts(ctx: click.Context, settings: Settings) -> None:
    """Watch the verdicts and raise alerts; with a subcommand, look at them, acknowledge and shelve them.

    Three NG of a camera's last five results raise `anomaly`, for example; five good ones in a row clear it.
    Also: invalid, late, camera_silent, backlog and worker_down.
    """
    if ctx.invoked_subcommand is not None:
        if given := [option.opts[0] for option in ctx.command.params if ctx.params.get(option.name or "") is not None]:
            raise click.UsageError(f"{', '.join(given)}: options stand behind the subcommand {ctx.invoked_subcommand}")
        return
    from worker import logs
    from worker.runtime.alerting import run_alerts

    logs.configure(settings.log, process="alerts")
    run_alerts(settings, stop_on_signals())


for command in (list_alerts, acknowledge, shelve, unshelve):
    alerts.add_command(command)
