"""The sinks that the settings ask for."""

from __future__ import annotations

from collections.abc import Callable

from worker.alerts.sinks.base import Sink
from worker.alerts.sinks.email import Email
from worker.alerts.sinks.log import Log
from worker.alerts.sinks.webhook import Webhook
from worker.alerts.standing import Standing
from worker.errors import SettingsError
from worker.settings import AlertSettings


def create_sinks(settings: AlertSettings, line: str, standing: Callable[[], Standing]) -> dict[str, Sink]:
    """The sinks that the settings ask for, by the name under which each keeps its place in the stream.

    Args:
        line: the line's name.
        standing: the alerts that stand now; a sink that keeps states may call it at any time, from a thread of its own.

    Raises:
        SettingsError: one of them is set in a way that it cannot be made.
    """
    sinks: dict[str, Sink] = {"log": Log()}
    if settings.webhook.url.get_secret_value():
        sinks["webhook"] = Webhook(settings.webhook)
    if settings.email.host:
        sinks["email"] = Email(settings.email, line)
    if settings.mqtt.url:
        try:
            from worker.alerts.sinks.mqtt import Mqtt
        except ModuleNotFoundError as error:
            raise SettingsError(
                f"alerts.mqtt.url: {error.name} is not installed: pip install 'line-worker[mqtt]'"
            ) from error
        sinks["mqtt"] = Mqtt(settings.mqtt, line, standing)
    return sinks
