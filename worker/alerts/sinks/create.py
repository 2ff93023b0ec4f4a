"""The sinks that the settings ask for."""

from __future__ import annotations

from worker.alerts.sinks.base import Sink
from worker.alerts.sinks.log import Log
from worker.alerts.sinks.webhook import Webhook
from worker.settings import AlertSettings


def create_sinks(settings: AlertSettings) -> dict[str, Sink]:
    """The sinks that the settings ask for, by the name under which each keeps its place in the stream."""
    sinks: dict[str, Sink] = {"log": Log()}
    if settings.webhook.url.get_secret_value():
        sinks["webhook"] = Webhook(settings.webhook)
    return sinks
