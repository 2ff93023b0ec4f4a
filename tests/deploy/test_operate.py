"""The page for who operates a line names only what there is: commands with their options, settings, panels, links."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import click
import pytest
from pydantic import BaseModel

from worker.cli import main
from worker.settings import Settings

DEPLOY = Path(__file__).parents[2] / "deploy"
TEXT = (DEPLOY / "docs" / "operate.md").read_text()
SHOWN = " ".join(re.findall(r"`[^`]+`", TEXT.replace("\n", " ")))


def commands() -> list[str]:
    """Every `line-worker …` of the page, in a line of its own or in the text."""
    lines = re.findall(r"^line-worker .*$", TEXT, re.MULTILINE)
    return sorted({*(line.partition("  #")[0].strip() for line in lines), *re.findall(r"`(line-worker [^`]+)`", SHOWN)})


def settings(model: type[BaseModel], prefix: str = "") -> set[str]:
    names: set[str] = set()
    for name, field in model.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            names |= settings(section, f"{prefix}{name}.")
        names.add(f"{prefix}{name}")
    return names


@pytest.mark.parametrize("line", commands())
def test_every_command_and_option_is_there(line: str) -> None:
    words = shlex.split(line)[1:]
    command: click.Command = main
    context = click.Context(command)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(context, words[0])
        if found is None and command.invoke_without_command:
            break
        assert found is not None, f"{line}: there is no {words[0]}"
        command = found
        words.pop(0)
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known


def test_every_setting_is_there() -> None:
    known = settings(Settings)
    groups = {name.partition(".")[0] for name in known if "." in name}
    named = {name for name in re.findall(r"`([a-z_]+\.[a-z_.]+)`", TEXT) if name.partition(".")[0] in groups}
    assert len(named) > 10
    assert named <= known


def test_every_panel_is_on_a_dashboard() -> None:
    boards = [json.loads(file.read_text()) for file in (DEPLOY / "grafana" / "dashboards").glob("*.json")]
    titles = {panel["title"] for board in boards for panel in board["panels"]}
    assert set(re.findall(r"«([^»]+)»", TEXT)) <= titles
