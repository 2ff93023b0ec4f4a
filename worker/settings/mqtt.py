"""The MQTT broker that alerts go to: a section of the settings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from pydantic import Field, field_validator, model_validator

from worker.settings.section import Section

_PORTS = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True, slots=True)
class MqttAddress:
    """An MQTT URL taken apart."""

    host: str
    port: int
    tls: bool
    username: str = ""


class MqttSettings(Section):
    """Where alert events are published by MQTT."""

    url: str = Field("", description="mqtt://[user@]host:1883 or mqtts://[user@]host:8883; empty: no MQTT")
    password_file: Path | None = Field(None, description="a file with the user's password; read at each connect")
    ca_file: Path | None = Field(None, description="TLS: trust the authorities in this PEM file too")
    cert_file: Path | None = Field(None, description="TLS: our own certificate, where the broker asks for one")
    key_file: Path | None = Field(None, description="TLS: its key, where not in the same file")
    topic: str = Field(
        "line-worker",
        pattern=r"^[A-Za-z0-9_.-]{1,64}(/[A-Za-z0-9_.-]{1,64}){0,7}$",
        description="what all topics begin with; the line's name follows",
    )
    client_id: str = Field(
        "", pattern=r"^[A-Za-z0-9_.-]{0,128}$", description="our name at the broker; empty: line-worker- and the line's"
    )
    version: Literal["5", "3.1.1"] = Field(
        "5", description="of the protocol; a broker that only knows 3.1.1 needs that"
    )
    timeout_s: float = Field(
        5.0, gt=0, le=60, description="give up connecting, or waiting for one acknowledgement, after"
    )

    @field_validator("url")
    @classmethod
    def _understood(cls, value: str) -> str:
        if value:
            parse_mqtt_url(value)
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> MqttSettings:
        if not self.url:
            return self
        address = self.address()
        if self.password_file and not address.username:
            raise ValueError("password_file needs a user in the URL: mqtts://user@host")
        if not address.tls and (self.ca_file or self.cert_file or self.key_file):
            raise ValueError("ca_file, cert_file and key_file are for TLS: an mqtts:// URL")
        if self.key_file and not self.cert_file:
            raise ValueError("key_file needs cert_file")
        return self

    def address(self) -> MqttAddress:
        """The URL, taken apart."""
        return parse_mqtt_url(self.url)


def parse_mqtt_url(url: str) -> MqttAddress:
    """Take a URL apart.

    Raises:
        ValueError: it is none; the message never holds a part of it, which may be a password.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # its own message echoes the host and what stands before it
        raise ValueError("is no URL") from None
    if parts.scheme not in _PORTS or not parts.hostname or port == 0 or not url.isprintable() or " " in url:
        raise ValueError("must be mqtt:// or mqtts:// with a host, and without spaces")
    if parts.password is not None:
        raise ValueError("holds a password, which everybody sees who sees the settings: password_file is for it")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("must end with the host and its port; the topic is a setting of its own")
    return MqttAddress(
        parts.hostname, port or _PORTS[parts.scheme], parts.scheme == "mqtts", unquote(parts.username or "")
    )
