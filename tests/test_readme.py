"""The documentation says what is true: its settings table is the code's. Run this file to print the table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from worker.settings import Settings

PAGE = Path(__file__).parents[1] / "deploy" / "docs" / "settings.md"


def settings_rows(model: type[BaseModel], prefix: str = "", defaults: BaseModel | None = None) -> list[str]:
    rows: list[str] = []
    for name, field in model.model_fields.items():
        default: Any = getattr(defaults, name) if defaults is not None else field.default
        if isinstance(default, BaseModel):
            rows += settings_rows(type(default), f"{prefix}{name}.", default)
            continue
        shown = default.get_secret_value() if hasattr(default, "get_secret_value") else default
        value = "" if shown is None else json.dumps(shown) if isinstance(shown, bool) else str(shown)
        rows.append(f"| `{prefix}{name}` | {f'`{value}`' if value else ''} | {field.description} |")
    return rows


def settings_table() -> str:
    return "\n".join(["| setting | default | what |", "|---|---|---|", *settings_rows(Settings)])


def test_the_settings_table_is_the_codes() -> None:
    assert settings_table() in PAGE.read_text()


def test_every_setting_is_described() -> None:
    assert not [row for row in settings_rows(Settings) if row.endswith("| None |")]


if __name__ == "__main__":
    print(settings_table())
