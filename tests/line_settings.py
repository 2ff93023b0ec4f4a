"""Settings of the tests' line. A module of its own: several folders have a `conftest`, and only one can be imported."""

from __future__ import annotations

from worker.settings import Settings, load


def settings_for(url: str, **flags: object) -> Settings:
    """Settings of a line called `test` on this Redis; flags by their dotted names with `__` for dots."""
    dotted = {name.replace("__", "."): value for name, value in flags.items()}
    return load({"line": "test", "redis.url": url, **dotted})[0]
