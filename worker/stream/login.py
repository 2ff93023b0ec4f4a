"""What a connection shows to be let in: user and password, and the certificates of TLS."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import redis
from redis.credentials import CredentialProvider

from worker.errors import SettingsError
from worker.settings import RedisSettings
from worker.settings.secrets import read_secret
from worker.tls import make_context

# What a server says of our certificate, or of having none.
_OURS_REFUSED = ("CERTIFICATE_REQUIRED", "BAD_CERTIFICATE", "UNKNOWN_CA", "CERTIFICATE_UNKNOWN", "HANDSHAKE_FAILURE")
# X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED: a clock that is set or a new certificate mends them.
_PASSES_WITH_TIME = (9, 10)


class Misconfigured(redis.RedisError):
    """A setting turned out to be wrong while connecting; `stream_errors` makes a SettingsError of it.

    It is one of redis' own because only after these redis-py closes a connection that is not logged in.
    """


class PasswordFile(CredentialProvider):
    """Reads the password from its file at each connect, so that a new one needs no restart."""

    def __init__(self, setting: str, path: Path, username: str) -> None:
        self._setting = setting
        self._path = path
        self._username = username

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """(user, password), or the password alone where no user is set."""
        try:
            password = read_secret(self._setting, self._path)
        except SettingsError as error:
            raise Misconfigured(str(error)) from None
        return (self._username, password) if self._username else (password,)


def credentials(settings: RedisSettings) -> dict[str, Any]:
    """redis-py's options for logging in at the servers."""
    address = settings.address()
    username = address.username or settings.username
    if settings.password_file:
        return {"credential_provider": PasswordFile("redis.password_file", settings.password_file, username)}
    password = address.password or settings.password.get_secret_value()
    return {"username": username or None, "password": password or None}


def sentinel_credentials(settings: RedisSettings) -> dict[str, Any]:
    """redis-py's options for logging in at the Sentinels, which have users of their own."""
    path, username = settings.sentinel_password_file, settings.sentinel_username
    if path is None:
        return {"username": username or None}
    return {"credential_provider": PasswordFile("redis.sentinel_password_file", path, username)}


def certificates(settings: RedisSettings) -> dict[str, Any]:
    """redis-py's options for TLS, the files checked: the server's certificate and its host name are always verified.

    Raises:
        SettingsError: a file cannot be read or is not what it should be.
    """
    ca, cert, key = settings.ca_file, settings.cert_file, settings.key_file
    make_context("redis", ca, cert, key)
    files = {"ssl_ca_certs": ca, "ssl_certfile": cert, "ssl_keyfile": key}
    return {name: str(path) for name, path in files.items() if path} | {"ssl_check_hostname": True}


def refused_certificate(error: BaseException | None) -> str | None:
    """Why TLS will never come about, where that is what lies behind this error."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            if error.verify_code in _PASSES_WITH_TIME:
                return None
            return f"redis.ca_file: the certificate of Redis is not accepted: {error.verify_message}"
        if isinstance(error, ssl.SSLError) and (error.reason or "").endswith(_OURS_REFUSED):
            return f"redis.cert_file: Redis does not accept our certificate: {error.reason}"
        error = error.__cause__ or error.__context__
    return None
