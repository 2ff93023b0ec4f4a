"""Settings by their dotted names, as in `queue.policy`, and back."""

from __future__ import annotations

from typing import Any

from worker.errors import SettingsError


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    leaves: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict) and value:
            leaves |= flatten(value, f"{prefix}{key}.")
        else:
            leaves[f"{prefix}{key}"] = value
    return leaves


def nest(leaves: dict[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in leaves.items():
        *sections, leaf = name.split(".")
        section = values
        for part in sections:
            inner = section.setdefault(part, {})
            if not isinstance(inner, dict):
                raise SettingsError(f"{part}: is a section with settings of its own, not one value")
            section = inner
        section[leaf] = value
    return values
