"""Settings that are lists: one text, parted by commas, as a variable or a flag has it; in YAML a list too."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator

NAME = r"^[A-Za-z0-9_.-]{1,64}$"
"""Of a line and of a camera."""


def _joined(value: Any) -> Any:
    return ",".join(value) if isinstance(value, list) and all(isinstance(one, str) for one in value) else value


Listed = Annotated[str, BeforeValidator(_joined)]


def split(text: str) -> list[str]:
    """The list, taken apart."""
    return [one.strip() for one in text.split(",") if one.strip()]


def check_cameras(text: str) -> str:
    """The list itself, where each is a camera's name.

    Raises:
        ValueError: naming the one that is not.
    """
    if bad := [name for name in split(text) if not re.fullmatch(NAME, name)]:
        raise ValueError(f"{bad[0]!r} is no camera's name: 1 to 64 of A-Za-z0-9_.-, parted by commas")
    return text
