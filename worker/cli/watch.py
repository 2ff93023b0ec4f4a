"""`line-worker watch`: a subscriber that prints results or alerts as they come."""

from __future__ import annotations

import base64
import json
import math
import re
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import click

from worker.cli.clock import format_time
from worker.cli.common import settings_options, stop_on_signals
from worker.errors import StreamUnavailable
from worker.plain import plain
from worker.settings import Settings
from worker.stream.connection import connect
from worker.stream.fields import alert_from_fields, result_from_fields
from worker.stream.keys import LineKeys
from worker.stream.tail import Tail, last_entries, last_id
from worker.types import Alert, Result


def _entry_id(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    if value is None:
        return None
    if not re.fullmatch(r"[0-9]+(-[0-9]+)?", value) or any(int(number) >= 2**64 for number in value.split("-")):
        raise click.BadParameter(f"{value!r} is no entry id: 0, 1700000000000 or 1700000000000-0.")
    return value


@click.command(
    epilog="""\b
Examples:
  line-worker watch results                     as they come; readable on a terminal, else JSON lines
  line-worker watch results --json | jq 'select(.verdict == "NG") | .part_id'
  line-worker watch alerts --last 10            the newest ten first
  line-worker watch results --camera c1 --from 0 --count 100"""
)
@click.argument("what", type=click.Choice(["results", "alerts"]))
@click.option("--json/--text", "as_json", default=None, help="JSON lines or readable; default: readable on a terminal.")
@click.option("--label-map", is_flag=True, help="Put the labelMap's PNG into the JSON, as Base64.")
@click.option("--camera", help="Only this camera's.")
@click.option("--last", type=click.IntRange(0), default=0, help="Begin with so many that are there already.")
@click.option(
    "--from", "after", metavar="ID", callback=_entry_id, help="Begin after this entry id; 0: all that are there."
)
@click.option("--count", type=click.IntRange(1), help="End after so many.")
@settings_options()
def watch(
    settings: Settings,
    what: str,
    as_json: bool | None,
    label_map: bool,
    camera: str | None,
    last: int,
    after: str | None,
    count: int | None,
) -> None:
    """Print results or alerts as they come. Nothing is acknowledged: any number may watch."""
    as_json = not sys.stdout.isatty() if as_json is None else as_json
    shown = 0
    for entry in _entries(settings, what, last, after, stop_on_signals()):
        if camera not in (None, entry.camera):
            continue
        click.echo(json.dumps(as_record(entry, label_map)) if as_json else plain(_line(entry)))
        shown += 1
        if shown == count:
            return


def as_record(entry: Result | Alert, label_map: bool = False) -> dict[str, Any]:
    """The entry for JSON; the labelMap's PNG as Base64 where asked for."""
    record = asdict(entry)
    if entry.score is not None and not math.isfinite(entry.score):
        record["score"] = None  # JSON has no word for it
    if isinstance(entry, Result):
        del record["label_map"]
        if label_map:
            record["label_map"] = base64.b64encode(entry.label_map).decode()
    return record


Decode = Callable[[str, list[bytes]], Result | Alert]

_FEEDS: dict[str, Callable[[LineKeys], tuple[str, Decode]]] = {
    "results": lambda keys: (keys.results, result_from_fields),
    "alerts": lambda keys: (keys.alerts, alert_from_fields),
}


def _entries(
    settings: Settings, what: str, last: int, after: str | None, stop: threading.Event
) -> Iterator[Result | Alert]:
    client, keys = connect(settings), LineKeys(settings.line)
    stream, decode = _FEEDS[what](keys)
    old = last_entries(client, stream, decode, last) if last and after is None else []
    yield from old
    start = after or (old[-1].id if old else last_id(client, stream))
    tail = Tail(client, stream, decode, start)
    while not stop.is_set():
        try:
            yield from tail.read()
        except StreamUnavailable as error:
            click.echo(f"{error}; trying again", err=True)
            stop.wait(1.0)


def _line(entry: Result | Alert) -> str:
    if isinstance(entry, Alert):
        at = format_time(entry.at, "%H:%M:%S")
        who = entry.camera or "(line)"
        return f"{at}  {entry.state:<12} {entry.severity:<8} {entry.kind:<13} {who:<12} {entry.message}"
    at = format_time(entry.published_at, "%H:%M:%S.%f")
    score = "" if entry.score is None else f"{entry.score:.4g} / {entry.threshold:.4g}"
    note = f"{len(entry.regions)} region(s)" if entry.regions else entry.reason
    seq = "" if entry.seq is None else entry.seq
    return f"{at}  {entry.camera:<12} {seq:>8}  {entry.verdict:<8} {score:<20} {note}"
