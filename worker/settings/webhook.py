"""The webhook that alerts go to: a section of the settings."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr, field_validator

from worker.settings.secrets import split_webhook
from worker.settings.section import Section


class WebhookSettings(Section):
    """Where alert events are POSTed as JSON."""

    url: SecretStr = Field(SecretStr(""), description="http(s) URL; empty: no webhook")
    secret_file: Path | None = Field(None, description="a file with the secret that signs each POST; read at each")
    token_file: Path | None = Field(None, description="a file with a token for `Authorization: Bearer`; read at each")
    ca_file: Path | None = Field(None, description="TLS: trust the authorities in this PEM file too")
    timeout_s: float = Field(5.0, gt=0, le=60, description="give up on one POST after; it is tried again")

    @field_validator("url")
    @classmethod
    def _usable(cls, value: SecretStr) -> SecretStr:
        url = value.get_secret_value()
        if url and split_webhook(url) is None:
            raise ValueError("must be http:// or https:// with a host, and without spaces")
        return value
