"""Where Redis is and how to be let in: a section of the settings."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr, field_validator, model_validator

from worker.settings.redis_url import RedisAddress, parse_redis_url
from worker.settings.section import Section


class RedisSettings(Section):
    """How to reach Redis."""

    url: SecretStr = Field(
        SecretStr("redis://127.0.0.1:6379/0"), description="a server, Sentinels or a Cluster, see deploy/docs/redis.md"
    )
    username: str = Field("", description="a user of Redis' ACL, where the URL names none")
    password: SecretStr = Field(SecretStr(""), description="the password, where the URL holds none")
    password_file: Path | None = Field(None, description="or a file that holds it; read at each connect")
    ca_file: Path | None = Field(None, description="TLS: trust the authorities in this PEM file too")
    cert_file: Path | None = Field(None, description="TLS: our own certificate, where Redis asks for one")
    key_file: Path | None = Field(None, description="TLS: its key, where not in the same file")
    sentinel_username: str = Field("", description="a user of the Sentinels themselves")
    sentinel_password_file: Path | None = Field(None, description="a file that holds the Sentinels' own password")
    connect_timeout_s: float = Field(3.0, gt=0, le=60, description="give up connecting after")
    timeout_s: float = Field(5.0, ge=1, le=60, description="give up waiting for a reply after")
    health_check_s: int = Field(10, ge=1, le=300, description="ping a connection that was idle this long")
    wait_replicas: int = Field(
        0, ge=0, le=100, description="a frame is published, an alert sent, once so many replicas know of it"
    )
    wait_timeout_ms: int = Field(500, ge=1, description="wait for those replicas; then the frame is published again")

    @field_validator("url")
    @classmethod
    def _understood(cls, value: SecretStr) -> SecretStr:
        parse_redis_url(value.get_secret_value())
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> RedisSettings:
        address = self.address()
        if sum(map(bool, (address.password, self.password.get_secret_value(), self.password_file))) > 1:
            raise ValueError("the password is given twice: in the URL, password or password_file")
        if address.username and self.username:
            raise ValueError("the user is given twice: in the URL and as username")
        if not address.tls and (self.ca_file or self.cert_file or self.key_file):
            raise ValueError("ca_file, cert_file and key_file are for TLS: a rediss… URL")
        if self.key_file and not self.cert_file:
            raise ValueError("key_file needs cert_file")
        if address.kind != "sentinel" and (self.sentinel_username or self.sentinel_password_file):
            raise ValueError("sentinel_username and sentinel_password_file are for redis+sentinel:// URLs")
        if self.wait_timeout_ms >= self.timeout_s * 1000:
            raise ValueError("wait_timeout_ms must be shorter than timeout_s")
        return self

    def address(self) -> RedisAddress:
        """The URL, taken apart."""
        return parse_redis_url(self.url.get_secret_value())
