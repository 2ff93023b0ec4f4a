"""Secrets: read from their files, and what of a URL is none and may be shown."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from worker.errors import SettingsError


def read_secret(setting: str, path: Path) -> str:
    """The text of a secret's file, without the end of its last line; at each use, so that a new one needs no restart.

    Raises:
        SettingsError: it cannot be read, is no text or is empty; names the setting and the file.
    """
    try:
        secret = path.read_text("utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "is no UTF-8 text"
        raise SettingsError(f"{setting} {path}: {why}") from None
    if not secret:
        raise SettingsError(f"{setting} {path}: is empty")
    return secret


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
