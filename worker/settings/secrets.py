"""Secrets: read from their files, and what of a URL is none and may be shown."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from worker.errors import SettingsError

MOST_BYTES = 65_536
"""Of a secret's file: far more than any token has, and little to read of a file that was named by mistake."""


def read_secret(setting: str, path: Path) -> str:
    """The text of a secret's file, without the end of its last line; at each use, so that a new one needs no restart.

    Raises:
        SettingsError: it cannot be read, is no text, is empty or too large; names the setting and the file.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        secret = content.decode("utf-8-sig").rstrip("\r\n")  # Windows' editors put a mark before the text
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "is no UTF-8 text"
        raise SettingsError(f"{setting} {path}: {why}") from None
    if len(content) > MOST_BYTES:
        raise SettingsError(f"{setting} {path}: has more than {MOST_BYTES:,} bytes: is it the right file?")
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
