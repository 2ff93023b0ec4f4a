"""The web framework is an optional part of the installation."""

from __future__ import annotations

from importlib.util import find_spec

from worker.errors import SettingsError

_NEEDED = ("fastapi", "uvicorn")


def check_installed() -> None:
    """Raise where it is missing.

    Raises:
        SettingsError: with the command that installs it.
    """
    if missing := [name for name in _NEEDED if find_spec(name) is None]:
        raise SettingsError(f"serve takes {' and '.join(missing)}: pip install 'line-worker[serve]'")
