"""The alert process: a section of the settings."""

from __future__ import annotations

from pydantic import Field, field_validator, model_validator

from worker.settings.email import EmailSettings
from worker.settings.listed import Listed, check_cameras, split
from worker.settings.mqtt import MqttSettings
from worker.settings.outbox import OutboxSettings
from worker.settings.section import Section
from worker.settings.webhook import WebhookSettings


class AlertRule(Section):
    """`raise_at` bad results of the last `window` raise; `clear_after` good ones in a row clear."""

    enabled: bool = Field(True, description="whether this kind of alert is raised")
    window: int = Field(5, ge=1, le=1_000, description="results of a camera that are looked back on")
    raise_at: int = Field(3, ge=1, le=1_000, description="so many bad ones among them raise")
    clear_after: int = Field(5, ge=1, le=1_000, description="so many good ones in a row clear")

    @model_validator(mode="after")
    def _can_raise(self) -> AlertRule:
        if self.raise_at > self.window:
            raise ValueError(f"raise_at ({self.raise_at}) must not exceed window ({self.window})")
        return self


class AlertSettings(Section):
    """The alert process."""

    anomaly: AlertRule = AlertRule()
    invalid: AlertRule = AlertRule(window=10, raise_at=5, clear_after=5)
    late: AlertRule = AlertRule(window=20, raise_at=10, clear_after=10)
    cameras: Listed = Field("", description="cameras that must be there, as in left,right: silent even if never seen")
    camera_silent_s: float = Field(30.0, ge=0, description="a camera without results this long; 0: off")
    worker_down_s: float = Field(15.0, ge=0, description="a worker not seen at Redis this long; 0: off")
    backlog_share: float = Field(0.8, ge=0, le=1, description="share of queue.max_frames; 0: off")
    reorder_ms: float = Field(500.0, ge=0, le=60_000, description="wait this long for a missing seq")
    update_every_s: float = Field(10.0, ge=0, description="at most one `updated` event an open alert this often")
    outbox: OutboxSettings = OutboxSettings()
    webhook: WebhookSettings = WebhookSettings()
    mqtt: MqttSettings = MqttSettings()
    email: EmailSettings = EmailSettings()

    @field_validator("cameras")
    @classmethod
    def _names(cls, value: str) -> str:
        return check_cameras(value)

    @property
    def expected_cameras(self) -> frozenset[str]:
        """`cameras`, taken apart."""
        return frozenset(split(self.cameras))
