"""`line-worker dead`: look at dead letters, replay them, delete them."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from datetime import UTC

import click

from worker.cli.clock import format_time
from worker.cli.common import settings_options
from worker.errors import SettingsError
from worker.plain import plain
from worker.settings import Settings
from worker.stream.connection import connect
from worker.stream.dead import DeadLetters
from worker.stream.keys import LineKeys


@click.group(
    epilog="""\b
Examples:
  line-worker dead list --camera c1 --reason truncated
  line-worker dead show 1700000000000-0 --save bad.jpg     the letter's id, or its frame's
  line-worker dead replay 1700000000000-0                  inspect it again
  line-worker dead replay --all --reason max_attempts
  line-worker dead purge --all"""
)
def dead() -> None:
    """Frames that could not be inspected, with the reason."""


@dead.command("list")
@click.option("--camera", help="Only this camera's.")
@click.option("--reason", help="Only with this reason.")
@click.option("--json", "as_json", is_flag=True, help="JSON lines.")
@settings_options()
def list_letters(settings: Settings, camera: str | None, reason: str | None, as_json: bool) -> None:
    """List dead letters, oldest first."""
    for letter in _letters(settings).list(camera=camera, reason=reason):
        if as_json:
            click.echo(json.dumps(letter.as_dict()))
        else:
            at = format_time(letter.dead_at, "%Y-%m-%d %H:%M:%S", UTC)
            without = f" (its {letter.not_kept:,} bytes were more than keep.dead_bytes)" if letter.not_kept else ""
            text = f"{letter.id}  {at}  {letter.camera:<12} {letter.reason:<18} {letter.error}{without}"
            click.echo(plain(text))


@dead.command()
@click.argument("letter_id")
@click.option("--save", type=click.File("wb"), help="Write the image's bytes to this file.")
@settings_options()
def show(settings: Settings, letter_id: str, save: click.File | None) -> None:
    """Show one dead letter whole."""
    letter = _letters(settings).get(letter_id)
    click.echo(json.dumps(letter.as_dict(), indent=2))
    if save is not None:
        save.write(letter.original.get("data", b""))  # type: ignore[attr-defined]


def _choosing(command: Callable[[DeadLetters, str], str]) -> Callable[..., None]:
    """A command that does something to chosen letters, named by their ids or all that the options leave."""

    @click.argument("letter_ids", nargs=-1)
    @click.option("--all", "everything", is_flag=True, help="All, or all that --camera and --reason leave.")
    @click.option("--camera", help="Only this camera's.")
    @click.option("--reason", help="Only with this reason.")
    @settings_options()
    @functools.wraps(command)
    def run(
        settings: Settings, letter_ids: tuple[str, ...], everything: bool, camera: str | None, reason: str | None
    ) -> None:
        if bool(letter_ids) == everything:
            raise SettingsError("name letters by their ids, or --all (with --camera and --reason to narrow it)")
        letters = _letters(settings)
        # Fixed before the first is touched: a replayed frame may die again at once.
        found = letters.list(camera=camera, reason=reason) if everything else map(letters.get, letter_ids)
        for letter_id in [letter.id for letter in found]:
            click.echo(command(letters, letter_id))

    return run


@dead.command()
@_choosing
def replay(letters: DeadLetters, letter_id: str) -> str:
    """Put dead letters back on the queue, as new frames."""
    return f"{letter_id} replayed as frame {letters.replay(letter_id)}"


@dead.command()
@_choosing
def purge(letters: DeadLetters, letter_id: str) -> str:
    """Delete dead letters for good; the ledger goes on counting them as dead."""
    return f"{letter_id} deleted" if letters.purge(letter_id) else f"{letter_id} was gone already"


def _letters(settings: Settings) -> DeadLetters:
    return DeadLetters(connect(settings), LineKeys(settings.line))
