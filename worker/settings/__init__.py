"""All settings, and the only place that reads the environment and the YAML file.

A value comes from, first wins: a command-line flag, an environment variable `LINE_…` (nested with `__`:
`LINE_REDIS__URL`), the YAML file of `--config` or `LINE_CONFIG`, the default.
"""

from worker.settings.alerts import AlertRule, AlertSettings
from worker.settings.email import EmailSettings
from worker.settings.evidence import EvidenceSettings
from worker.settings.gateway import GatewaySettings, UrlSettings
from worker.settings.handover import describe, from_json, inherited_environment, to_json
from worker.settings.listed import NAME
from worker.settings.load import load
from worker.settings.mqtt import MqttSettings
from worker.settings.outbox import OutboxSettings
from worker.settings.redis import RedisSettings
from worker.settings.secrets import mask_password, mask_webhook
from worker.settings.sections import (
    ANY,
    BatchSettings,
    GateSettings,
    KeepSettings,
    LimitSettings,
    LogSettings,
    MetricsSettings,
    QueueSettings,
    Settings,
    WorkSettings,
)
from worker.settings.watch import AUTO, OFF, WatchSettings
from worker.settings.webhook import WebhookSettings

__all__ = [
    "ANY",
    "AUTO",
    "NAME",
    "OFF",
    "AlertRule",
    "AlertSettings",
    "BatchSettings",
    "EmailSettings",
    "EvidenceSettings",
    "GateSettings",
    "GatewaySettings",
    "KeepSettings",
    "LimitSettings",
    "LogSettings",
    "MetricsSettings",
    "MqttSettings",
    "OutboxSettings",
    "QueueSettings",
    "RedisSettings",
    "Settings",
    "UrlSettings",
    "WatchSettings",
    "WebhookSettings",
    "WorkSettings",
    "describe",
    "from_json",
    "inherited_environment",
    "load",
    "mask_password",
    "mask_webhook",
    "to_json",
]
