"""What waits for the sinks, and how it goes out: a section of the settings."""

from __future__ import annotations

from pydantic import Field

from worker.settings.section import Section


class OutboxSettings(Section):
    """Alert events on their way: each sink has an outbox of its own in Redis."""

    max_events: int = Field(
        100_000, ge=1, le=10_000_000, description="events that wait for a sink at most; the oldest become dead letters"
    )
    give_up_after_s: float = Field(
        86_400.0, ge=0, description="an event that has failed for so long becomes a dead letter; 0: never"
    )
    max_per_minute: int = Field(
        60, ge=0, le=100_000, description="messages to a webhook or by e-mail; where more wait they are grouped; 0: any"
    )
    group_max: int = Field(100, ge=1, le=1_000, description="events in one message at most")
