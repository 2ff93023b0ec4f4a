"""Settings on their way out: shown to people without their secrets, handed to child processes with them."""

from __future__ import annotations

import json
import os
from typing import Any

from worker.settings.leaves import flatten
from worker.settings.secrets import mask_password, mask_webhook
from worker.settings.sections import PREFIX, Settings


def describe(settings: Settings) -> dict[str, Any]:
    """All leaves by their dotted names, Redis passwords masked, of the webhook's URL scheme and host alone."""
    leaves = flatten(settings.model_dump(mode="json"))
    leaves["redis.url"] = mask_password(settings.redis.url.get_secret_value())
    leaves["redis.password"] = "***" if settings.redis.password.get_secret_value() else ""
    leaves["alerts.webhook.url"] = mask_webhook(settings.alerts.webhook.url.get_secret_value())
    return leaves


def to_json(settings: Settings) -> str:
    """One line for handing the settings to a child process over a pipe, the secrets included."""
    values = settings.model_dump(mode="json")
    values["redis"]["url"] = settings.redis.url.get_secret_value()
    values["redis"]["password"] = settings.redis.password.get_secret_value()
    values["alerts"]["webhook"]["url"] = settings.alerts.webhook.url.get_secret_value()
    return json.dumps(values)


def from_json(text: str) -> Settings:
    """The settings that a parent process handed over with `to_json`."""
    return Settings(**json.loads(text))


def inherited_environment() -> dict[str, str]:
    """What a child process gets: our environment without our settings, which travel over its standard input."""
    return {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
