"""`line-worker keys`: make, list and revoke the API keys of the HTTP service."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from worker.errors import LineError, SettingsError
from worker.gateway.access.key_file import add_key, key_names, remove_key
from worker.settings import load


@click.group(
    epilog="""\b
Examples:
  line-worker keys add camera-pc --file keys.txt       prints the key, this once
  line-worker keys list --file keys.txt
  line-worker keys remove camera-pc --file keys.txt    a running service takes it no more

With LINE_GATEWAY__KEYS_FILE=keys.txt the service asks for a key."""
)
def keys() -> None:
    """API keys of the HTTP service; the file holds their names and hashes."""


def _in_file(command: Callable[..., None]) -> Callable[..., None]:
    """Hand the command the `file` that is named, or else in the settings."""

    @click.option("--file", type=click.Path(path_type=Path), help="The file of keys; also LINE_GATEWAY__KEYS_FILE.")
    @click.option("--config", type=click.Path(path_type=Path), help="YAML file with settings; also LINE_CONFIG.")
    @functools.wraps(command)
    def run(file: Path | None, config: Path | None, **values: Any) -> None:
        file = file or load(config=config)[0].gateway.keys_file
        if file is None:
            raise SettingsError("name the file of keys with --file or LINE_GATEWAY__KEYS_FILE")
        command(file=file, **values)

    return run


@keys.command()
@click.argument("name")
@_in_file
def add(file: Path, name: str) -> None:
    """Make a key for NAME and print it: it stands nowhere else, and cannot be shown again."""
    key = add_key(file, name)
    try:
        click.echo(key)
    except OSError as error:  # a full disk or a closed pipe
        remove_key(file, name)  # nobody knows it
        raise LineError(f"the key cannot be printed, and was not kept: {error.strerror}") from error


@keys.command("list")
@_in_file
def list_keys(file: Path) -> None:
    """Print the names, one a line."""
    for name in key_names(file):
        click.echo(name)


@keys.command()
@click.argument("name")
@_in_file
def remove(file: Path, name: str) -> None:
    """Revoke the key of NAME; a running service takes it no more."""
    if not remove_key(file, name):
        click.echo(f"{file} holds no key now: a running service lets nobody in, and a new one does not start", err=True)
