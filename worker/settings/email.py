"""The mail server that alerts go through: a section of the settings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from worker.settings.listed import Listed, split
from worker.settings.section import Section

# Narrower than RFC 5322, which nobody needs here: no quotes, no comments, nothing that could end a header.
_ADDRESS = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?"
_STATES = ("raised", "updated", "cleared", "acknowledged")
_PORTS = {"starttls": 587, "tls": 465, "none": 25}


class EmailSettings(Section):
    """Whom alert events are mailed to, and how."""

    host: str = Field("", pattern=r"^[A-Za-z0-9.:_-]*$", description="the mail server (SMTP); empty: no e-mail")
    port: int = Field(0, ge=0, le=65_535, description="its port; 0: 587, with tls 465, with none 25")
    security: Literal["starttls", "tls", "none"] = Field("starttls", description="none is for a relay on this machine")
    username: str = Field("", description="the login, where the server asks for one")
    password_file: Path | None = Field(None, description="a file with its password; read at each mail")
    ca_file: Path | None = Field(None, description="TLS: trust the authorities in this PEM file too")
    sender: str = Field("", description="the address that mails come from")
    recipients: Listed = Field("", description="the addresses that they go to, as in a@x.example,b@x.example")
    min_severity: Literal["info", "warning", "critical"] = Field("warning", description="mail this and what is worse")
    states: Listed = Field("raised,cleared", description="which of raised, updated, cleared, acknowledged are mailed")
    timeout_s: float = Field(10.0, gt=0, le=60, description="give up waiting for one answer of the server after")

    @field_validator("sender", "recipients")
    @classmethod
    def _addresses(cls, value: str) -> str:
        if bad := [address for address in split(value) if not re.fullmatch(_ADDRESS, address)]:
            raise ValueError(f"{bad[0]!r} is no address: name@host.example")
        return value

    @field_validator("states")
    @classmethod
    def _known(cls, value: str) -> str:
        if not split(value) or not set(split(value)) <= set(_STATES):
            raise ValueError(f"must be some of {', '.join(_STATES)}, parted by commas")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> EmailSettings:
        if not self.host:
            return self
        if len(split(self.sender)) != 1 or not split(self.recipients):
            raise ValueError("needs one address as sender, and recipients")
        if bool(self.username) != bool(self.password_file):
            raise ValueError("username and password_file belong together")
        if self.security == "none" and (self.username or self.ca_file):
            raise ValueError("a password is sent over TLS alone, and ca_file is for TLS: security starttls or tls")
        return self

    @property
    def server_port(self) -> int:
        """`port`, or the usual one."""
        return self.port or _PORTS[self.security]

    @property
    def to(self) -> tuple[str, ...]:
        """`recipients`, taken apart, each once."""
        return tuple(dict.fromkeys(split(self.recipients)))
