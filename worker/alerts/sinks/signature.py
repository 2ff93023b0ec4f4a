"""Signatures of webhooks after Standard Webhooks 1.0.0 (https://www.standardwebhooks.com), symmetric."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

from worker.errors import SettingsError

_PREFIX = "whsec_"
_MIN_BYTES = 24


def read_secrets(text: str, setting: str) -> list[bytes]:
    """The secrets of a file, one a line: while a new one takes over, the old one stands beside it.

    Args:
        text: each line is `whsec_` and Base64, or the secret itself as it stands.
        setting: that names the file, for the message.

    Raises:
        SettingsError: there is none, or one is no Base64 or shorter than 24 bytes.
    """
    secrets = [_secret(line.strip(), setting) for line in text.splitlines() if line.strip()]
    if not secrets:
        raise SettingsError(f"{setting}: no secret in it")
    return secrets


def sign(secrets: list[bytes], key: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers that prove where a body comes from; a receiver accepts it where one of the signatures is right.

    Args:
        key: the message's own, the same at each try.
        timestamp: unix seconds of this try.
    """
    content = f"{key}.{timestamp}.".encode() + body
    digests = [hmac.digest(secret, content, hashlib.sha256) for secret in secrets]
    return {
        "webhook-id": key,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests),
    }


def _secret(line: str, setting: str) -> bytes:
    try:
        coded = line.startswith(_PREFIX)
        secret = base64.b64decode(line.removeprefix(_PREFIX), validate=True) if coded else line.encode()
    except binascii.Error:
        raise SettingsError(f"{setting}: what follows {_PREFIX} is no Base64") from None
    if len(secret) < _MIN_BYTES:
        raise SettingsError(f"{setting}: a secret has {len(secret)} bytes; it needs {_MIN_BYTES} or more")
    return secret
