"""The HTTP service: a section of the settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from worker.settings.listed import NAME, Listed, split
from worker.settings.section import Section

Name = Annotated[str, Field(pattern=NAME)]


class UrlSettings(Section):
    """Pictures that the service fetches itself, where a request names a URL instead of holding the picture."""

    enabled: bool = Field(False, description="take an http(s) URL in the field `image`")
    allow: Listed = Field(
        "", description="hosts that may be fetched from, as in cdn.example.com,*.plant.example; * is any"
    )
    allow_private: bool = Field(False, description="also private addresses of such hosts; never loopback or link-local")
    max_redirects: int = Field(3, ge=0, le=10, description="redirects that are followed, each checked like the URL")
    timeout_s: float = Field(5.0, gt=0, le=60, description="give up fetching a picture after, all in all")

    @property
    def hosts(self) -> tuple[str, ...]:
        """`allow`, taken apart, in lower case."""
        return tuple(host.lower() for host in split(self.allow))


class GatewaySettings(Section):
    """The HTTP service. Pictures are limited by `limits` as every frame is."""

    host: str = Field("127.0.0.1", description="address to listen on; 0.0.0.0 is every one")
    port: int = Field(8080, ge=1, le=65_535, description="port to listen on")
    camera: Name = Field("http", description="the camera of requests that name none")
    timeout_s: float = Field(
        30.0, gt=0, le=600, description="504 where the verdict takes longer; also `deadlineMs` at most"
    )
    max_waiting: int = Field(256, ge=1, le=10_000, description="requests that wait for a verdict; 429 for more")
    queue_wait_s: float = Field(
        1.0, gt=0, le=60, description="429 where the line stays full so long (policy block), 503 where Redis stays away"
    )
    visualize: bool = Field(True, description="draw the mask where a request does not say")
    keys_file: Path | None = Field(
        None, description="hashed API keys, made by `line-worker keys`; none: no key is asked for"
    )
    rate_per_s: float = Field(
        0.0, ge=0, description="requests a second that a key, or without keys a client, may make; 0: any"
    )
    rate_burst: int = Field(20, ge=1, le=10_000, description="so many at once before that counts")
    urls: UrlSettings = UrlSettings()
