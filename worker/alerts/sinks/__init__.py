"""Where alerts go: each sink is a callable that delivers one alert, or raises and is called again."""

from worker.alerts.sinks.base import Sink
from worker.alerts.sinks.log import send_to_log
from worker.alerts.sinks.webhook import Webhook

__all__ = ["Sink", "Webhook", "send_to_log"]
