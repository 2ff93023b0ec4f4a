"""`line-worker config`: the settings in force."""

from __future__ import annotations

import json
from pathlib import Path

import click

from worker.settings import describe, load


@click.command(
    epilog="""\b
Examples:
  line-worker config                                   every setting, its value and where that came from
  LINE_QUEUE__POLICY=drop-oldest line-worker config    an environment variable: nesting is two underscores
  line-worker config --config line.yml --json          the file of --config, as JSON"""
)
@click.option("--config", type=click.Path(path_type=Path), help="YAML file with settings; also LINE_CONFIG.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def config(config: Path | None, as_json: bool) -> None:
    """Print the settings in force and where each value came from; secrets are masked."""
    settings, origin = load(config=config)
    values = describe(settings)
    if as_json:
        click.echo(json.dumps({name: {"value": value, "from": origin[name]} for name, value in values.items()}))
        return
    width = max(map(len, values))
    for name, value in values.items():
        click.echo(f"{name:<{width}}  {'' if value is None else value!s:<32}  {origin[name]}")
