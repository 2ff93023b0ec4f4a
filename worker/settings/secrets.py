"""What of a URL is no secret and may be shown."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit


def mask_password(url: str) -> str:
    """The URL with its password replaced by `***`, fit for logs."""
    scheme, separator, rest = re.sub(r"([?&]password=)[^&]*", r"\1***", url).partition("://")
    credentials, at, host = rest.rpartition("@")
    return f"{scheme}{separator}{credentials.partition(':')[0]}:***@{host}" if at else f"{scheme}{separator}{rest}"


def mask_webhook(url: str) -> str:
    """The webhook's URL as far as it is no secret; a token may stand anywhere behind the host."""
    parts = split_webhook(url)
    if parts is None:
        return "***" if url else ""
    shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    return shown if url in (shown, f"{shown}/") else f"{shown}/***"


def split_webhook(url: str) -> SplitResult | None:
    """Its parts; None where nobody could be called by it."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a broken IPv6 address or port
        return None
    return parts if usable and url.isprintable() and " " not in url else None
