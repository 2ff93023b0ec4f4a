"""`line-worker outbox`: what waits for the sinks of alerts, and what they did not get."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC

import click

from worker.cli.clock import format_time
from worker.cli.common import settings_options
from worker.errors import SettingsError
from worker.plain import plain
from worker.settings import Settings
from worker.stream.connection import connect
from worker.stream.keys import LineKeys
from worker.stream.outbox_letters import OutboxLetters

_TIME = "%Y-%m-%d %H:%M:%S"


@click.group(
    epilog="""\b
Examples:
  line-worker outbox list                                  how many wait, for how long, and the last error
  line-worker outbox dead --reason refused
  line-worker outbox replay webhook 1700000000000-0        try again
  line-worker outbox replay webhook --all --reason gave_up
  line-worker outbox purge webhook --all

\b
A sink that refuses an event (refused), fails with it for alerts.outbox.give_up_after_s (gave_up), or for which more
than alerts.outbox.max_events wait (overflow), does not get it: it is kept as a dead letter."""
)
def outbox() -> None:
    """Alert events on their way to webhook, MQTT, e-mail and log."""


@outbox.command("list")
@click.option("--json", "as_json", is_flag=True, help="JSON lines.")
@settings_options()
def list_outboxes(settings: Settings, as_json: bool) -> None:
    """List the sinks: what waits for each, how long the oldest has, dead letters, the last error."""
    letters = _letters(settings)
    for seen in letters.look(letters.sinks()):
        if as_json:
            click.echo(json.dumps(asdict(seen)))
            continue
        text = f"{seen.sink:<10} {seen.waiting:>7,} waiting {seen.lag_s:>8,.0f} s  {seen.dead:>6,} dead"
        if seen.error_at:
            text += f"  last error {format_time(seen.error_at, _TIME, UTC)}: {seen.error}"
        click.echo(plain(text))


@outbox.command("dead")
@click.argument("sink", required=False)
@click.option("--reason", help="Only with this reason.")
@click.option("--json", "as_json", is_flag=True, help="JSON lines.")
@settings_options()
def list_letters(settings: Settings, sink: str | None, reason: str | None, as_json: bool) -> None:
    """List what a sink did not get, or every sink, oldest first."""
    letters = _letters(settings)
    for name in _known(letters, sink):
        for letter in letters.letters(name, reason=reason):
            if as_json:
                click.echo(json.dumps(asdict(letter)))
                continue
            alert = letter.alert
            what = f"{alert.get('state', '?')} {alert.get('kind', '?')} {alert.get('camera') or 'line'}"
            at = format_time(letter.dead_at, _TIME, UTC)
            click.echo(plain(f"{letter.id}  {at}  {letter.sink:<10} {letter.reason:<10} {what}  {letter.error}"))


def _choosing(command: Callable[[OutboxLetters, str, str], str]) -> Callable[..., None]:
    """A command that does something to chosen letters of a sink, named by their ids or all that the options leave."""

    @click.argument("sink")
    @click.argument("letter_ids", nargs=-1)
    @click.option("--all", "everything", is_flag=True, help="All, or all with --reason.")
    @click.option("--reason", help="Only with this reason.")
    @settings_options()
    @functools.wraps(command)
    def run(settings: Settings, sink: str, letter_ids: tuple[str, ...], everything: bool, reason: str | None) -> None:
        if bool(letter_ids) == everything or (reason and not everything):
            raise SettingsError("name letters by their ids, or --all (with --reason to narrow it)")
        letters = _letters(settings)
        _known(letters, sink)
        # Fixed before the first is touched: a replayed event may die again at once.
        chosen = [letter.id for letter in letters.letters(sink, reason=reason)] if everything else letter_ids
        for letter_id in chosen:
            click.echo(command(letters, sink, letter_id))

    return run


@outbox.command()
@_choosing
def replay(letters: OutboxLetters, sink: str, letter_id: str) -> str:
    """Put dead letters back on the outbox of the sink, behind what waits, under the events' own keys."""
    return f"{letter_id} waits again as {letters.replay(sink, letter_id)}"


@outbox.command()
@_choosing
def purge(letters: OutboxLetters, sink: str, letter_id: str) -> str:
    """Delete dead letters for good; the events stay on the alerts stream."""
    return f"{letter_id} deleted" if letters.purge(sink, letter_id) else f"{letter_id} was gone already"


def _known(letters: OutboxLetters, sink: str | None) -> list[str]:
    """The sinks that are meant: all, where none is named."""
    sinks = letters.sinks()
    if sink is None:
        return sinks
    if sink not in sinks:
        raise SettingsError(f"{sink!r} has no outbox; these have one: {', '.join(sinks) or 'none'}")
    return [sink]


def _letters(settings: Settings) -> OutboxLetters:
    return OutboxLetters(connect(settings), LineKeys(settings.line))
