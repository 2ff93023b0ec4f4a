"""Where alerts go: each sink delivers a message of one or several alert events, or raises and is called again."""

from worker.alerts.sinks.base import Sink
from worker.alerts.sinks.create import create_sinks
from worker.alerts.sinks.email import Email
from worker.alerts.sinks.log import Log
from worker.alerts.sinks.webhook import Webhook

__all__ = ["Email", "Log", "Sink", "Webhook", "create_sinks"]
