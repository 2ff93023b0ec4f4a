"""TLS towards a server: its certificate and its host name are always verified."""

from __future__ import annotations

import ssl
from pathlib import Path

from worker.errors import SettingsError


def make_context(
    section: str, ca_file: Path | None, cert_file: Path | None = None, key_file: Path | None = None
) -> ssl.SSLContext:
    """The system's authorities, one more where `ca_file` names it, and our own certificate where there is one.

    Args:
        section: the settings that name the files, for the message.

    Raises:
        SettingsError: a file cannot be read or is not what it should be.
    """
    context = ssl.create_default_context()
    try:
        if ca_file:
            context.load_verify_locations(ca_file)
    except OSError as error:
        raise SettingsError(f"{section}.ca_file {ca_file}: {_why(error)}") from error
    try:
        if cert_file:
            context.load_cert_chain(cert_file, key_file, password="")  # or OpenSSL asks for one on the terminal
    except OSError as error:
        beside = f" with key_file {key_file}" if key_file else " (which must hold its key too, as there is no key_file)"
        raise SettingsError(f"{section}.cert_file {cert_file}{beside}: {_why(error)}") from error
    return context


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"not the PEM file that is needed ({error.reason or 'is a key in it, and not encrypted?'})"
    return str(error.strerror)
