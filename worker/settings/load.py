"""Reading the settings from flags, the environment and a YAML file; the only place that does."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_settings import EnvSettingsSource, YamlConfigSettingsSource
from pydantic_settings import SettingsError as SourceReadError

from worker.errors import SettingsError
from worker.settings.leaves import flatten, nest
from worker.settings.sections import PREFIX, Settings

CONFIG_VARIABLE = "LINE_CONFIG"
OUTSIDE = {CONFIG_VARIABLE, "LINE_SHARED_DIR"}  # not fields: the YAML file to read, the tests' data


def load(flags: dict[str, Any] | None = None, config: Path | None = None) -> tuple[Settings, dict[str, str]]:
    """The settings in force, and where each leaf came from: `flag`, `env LINE_…`, the file's path or `default`.

    Args:
        flags: dotted names to values, as in `{"queue.policy": "block"}`; None values count as not given.
        config: a YAML file; None: the file that LINE_CONFIG names, or none.

    Raises:
        SettingsError: naming the field and what is allowed.
    """
    values: dict[str, Any] = {}
    origin: dict[str, str] = {}

    def add(leaves: dict[str, Any], source: str) -> None:
        for name, value in leaves.items():
            values[name] = value
            origin[name] = source.format(name=PREFIX + name.upper().replace(".", "__"))

    path = config or (Path(os.environ[CONFIG_VARIABLE]) if os.environ.get(CONFIG_VARIABLE) else None)
    if path is not None:
        add(_given(flatten(_read_yaml(path))), str(path).replace("{", "{{").replace("}", "}}"))
    add(flatten(_read_environment()), "env {name}")
    add({name: value for name, value in (flags or {}).items() if value is not None}, "flag")
    try:
        settings = Settings(**nest(values))
    except ValidationError as error:
        raise SettingsError(_explain(error, origin)) from error
    return settings, {name: origin.get(name, "default") for name in flatten(settings.model_dump())}


def _read_yaml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise SettingsError(f"config file {path}: {'is not a file' if path.exists() else 'there is no such file'}")
    try:
        return YamlConfigSettingsSource(Settings, yaml_file=path)()
    except OSError as error:
        raise SettingsError(f"config file {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError, SourceReadError, ValueError, TypeError) as error:
        raise SettingsError(f"config file {path}: not a YAML mapping of settings: {error}") from error


def _given(leaves: dict[str, Any]) -> dict[str, Any]:
    """Without the settings and sections that stand there empty, as where all below them is commented out."""
    known = list(flatten(Settings.model_validate({}).model_dump()))

    def is_known(name: str) -> bool:
        return any(leaf == name or leaf.startswith(f"{name}.") for leaf in known)

    return {name: value for name, value in leaves.items() if value is not None or not is_known(name)}


def _read_environment() -> dict[str, Any]:
    tops = set(Settings.model_fields)
    for variable in os.environ:
        if not variable.startswith(PREFIX) or variable in OUTSIDE:
            continue
        if variable.removeprefix(PREFIX).lower().partition("__")[0] not in tops:
            raise SettingsError(f"{variable}: there is no such setting; {_nearest(variable)}")
    try:
        return EnvSettingsSource(Settings)()
    except SourceReadError as error:
        what = str(error).partition(" from source")[0]
        raise SettingsError(f"environment: {what}: a section takes JSON, or a variable a setting") from error


def _explain(error: ValidationError, origin: dict[str, str]) -> str:
    lines = []
    for problem in error.errors():
        name = ".".join(str(part) for part in problem["loc"])
        where = f" (from {origin[name]})" if name in origin else ""
        is_section = problem["type"] == "model_type"
        said = "must be a section with settings in it" if is_section else problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            lines.append(f"{name}{where}: there is no such setting; {_nearest(name)}")
        elif name == "alerts" or name.startswith(("redis", "alerts.webhook", "alerts.mqtt")):
            lines.append(f"{name}{where}: {said}")  # never echo what may hold a URL with its secret
        else:
            lines.append(f"{name}{where}: {said}; got {problem['input']!r}")
    return "\n".join(lines)


def _nearest(name: str) -> str:
    known = list(flatten(Settings.model_validate({}).model_dump()))
    wanted = name.removeprefix(PREFIX).lower().replace("__", ".")
    close = difflib.get_close_matches(wanted, known, n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(close)}? " if close else ""
    return f"{hint}`line-worker config` lists all"
