"""`line-worker alerts list`, `acknowledge`, `shelve` and `unshelve`."""

from __future__ import annotations

import getpass
import json
import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import click
from pydantic import TypeAdapter, ValidationError

from worker.alerts.overview import AlertSeen, Overview
from worker.alerts.shelf import Shelf
from worker.cli.clock import format_time
from worker.cli.common import Command, settings_options
from worker.errors import LineError, OrderWaits
from worker.orders import SHELF_S, AlertId, By, Camera, Note, Scope, Seconds, Shelve
from worker.plain import plain
from worker.runtime.alert_desk import CARRIED_OUT_WITHIN_S, LOOK_AGAIN_S, AlertDesk
from worker.settings import Settings
from worker.stream.connection import connect
from worker.stream.keys import LineKeys
from worker.types import AlertKind

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_AT = "%Y-%m-%d %H:%M:%S"


@click.command(
    "list",
    epilog="""\b
Examples:
  line-worker alerts list
  line-worker alerts list --json | jq -r '.alerts[] | select(.acknowledged_by == "") | .alert_id'""",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@settings_options()
def list_alerts(settings: Settings, as_json: bool) -> None:
    """List the alerts that are open, oldest first, and the shelves."""
    seen = _desk(settings).look()
    if as_json:
        shelves = [shelf.model_dump(mode="json") for shelf in seen.shelves]
        click.echo(json.dumps({"at": seen.at, "alerts": [asdict(alert) for alert in seen.alerts], "shelves": shelves}))
        return
    for alert in seen.alerts:
        click.echo(plain(_alert_line(alert, seen.at)))
    if not seen.alerts:
        click.echo("no alert is open")
    for shelf in seen.shelves:
        click.echo(_shelf_line(shelf))


def _checked(kind: Any) -> Callable[..., Any]:
    """A callback for an option: its value is one of `kind`."""
    adapter = TypeAdapter(kind)

    def check(_ctx: click.Context, _parameter: click.Parameter, value: Any) -> Any:
        try:
            return None if value is None else adapter.validate_python(value)
        except ValidationError as error:
            raise click.BadParameter(error.errors()[0]["msg"]) from error

    return check


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in a container
        return f"uid {os.getuid()}"


def _scope_options(command: Command) -> Command:
    """`--camera`, `--kind` and `--all`."""
    kinds = click.Choice([kind.value for kind in AlertKind])
    command = click.option("--all", "everything", is_flag=True, help="All of the line.")(command)
    command = click.option("--kind", type=kinds, help="Only of this kind.")(command)
    return click.option("--camera", callback=_checked(Camera), help="Only of this camera.")(command)


def _by_option(command: Command) -> Command:
    told = "Who you are; default: the user of this machine."
    return click.option("--by", default=_user, callback=_checked(By), metavar="NAME", help=told)(command)


def _note_option(command: Command) -> Command:
    told = "What others should know; at most 500 characters."
    return click.option("--note", default="", callback=_checked(Note), metavar="TEXT", help=told)(command)


def _scope(camera: str | None, kind: str | None, everything: bool) -> Scope:
    if bool(camera or kind) == everything:
        raise click.UsageError("say which alerts are meant: --camera, --kind or both, or --all")
    return Scope(camera=camera or "", kind=AlertKind(kind) if kind else "")


@click.command(
    epilog="""\b
Examples:
  line-worker alerts acknowledge left:anomaly:1700000000000-0
  line-worker alerts acknowledge --camera left --note "lens is dirty, on my way"
  line-worker alerts acknowledge --all --by "Anna, shift 2\""""
)
@click.argument("alert_id", required=False, callback=_checked(AlertId))
@_scope_options
@_by_option
@_note_option
@settings_options()
def acknowledge(
    settings: Settings,
    alert_id: str | None,
    camera: str | None,
    kind: str | None,
    everything: bool,
    by: str,
    note: str,
) -> None:
    """Say that somebody has open alerts in hand: no more updates of them are sent, only their end."""
    if alert_id and (camera or kind or everything):
        raise click.UsageError("name an alert by its id, or say which are meant by --camera, --kind or --all")
    meant = alert_id or _scope(camera, kind, everything)
    desk = _desk(settings)
    before = desk.look()
    _wait(desk, desk.acknowledge(meant, by, note))
    after = desk.look()
    for alert in before.of(meant) if isinstance(meant, Scope) else [one for one in [before.alert(meant)] if one]:
        click.echo(f"{alert.alert_id}  {_acknowledged(after, alert.alert_id)}")


def _acknowledged(seen: Overview, alert_id: str) -> str:
    alert = seen.alert(alert_id)
    if alert is None:
        return "was cleared meanwhile"
    if not alert.acknowledged_by:
        return "is not acknowledged; the log of the alert process says why"
    return f"acknowledged by {alert.acknowledged_by}"


class _Duration(click.ParamType[int]):
    """Seconds, as 90s, 15m, 2h or 3d."""

    name = "duration"

    def convert(self, value: Any, parameter: click.Parameter | None, ctx: click.Context | None) -> int:
        found = re.fullmatch(r"([0-9]{1,6})([smhd])", value) if isinstance(value, str) else None
        if found is None:
            self.fail(f"{value!r} is no time: 90s, 15m, 2h or 3d", parameter, ctx)
        return int(found[1]) * _UNITS[found[2]]


@click.command(
    epilog="""\b
Examples:
  line-worker alerts shelve --camera left --for 2h --note "lens is being changed"
  line-worker alerts shelve --camera left --kind anomaly
  line-worker alerts shelve --kind backlog --for 15m
  line-worker alerts unshelve --camera left"""
)
@_scope_options
@click.option(
    "--for", "seconds", type=_Duration(), default=f"{SHELF_S // 3_600}h", callback=_checked(Seconds), show_default=True,
    help="How long, as 90s, 15m, 2h or 3d; at most 7d.",
)  # fmt: skip
@_by_option
@_note_option
@settings_options()
def shelve(
    settings: Settings, camera: str | None, kind: str | None, everything: bool, seconds: int, by: str, note: str
) -> None:
    """Put alerts aside for a time: they go to no sink, and what is still open at the end is told then.

    They stand on the alerts stream all the same, marked as shelved; the camera goes on being inspected and counted.
    """
    scope = _scope(camera, kind, everything)
    desk, began = _desk(settings), time.monotonic()
    order = Shelve(camera=scope.camera, kind=scope.kind, seconds=seconds, by=by, note=note)
    _wait(desk, desk.give([order]))
    shelf = desk.look().shelf(scope)
    if shelf is None and time.monotonic() - began < seconds:
        raise LineError(f"{scope} are not shelved; the log of the alert process says why")
    click.echo(_shelf_line(shelf) if shelf else f"{scope} were shelved, and it is over")


@click.command(epilog="Example:\n  line-worker alerts unshelve --camera left")
@_scope_options
@_by_option
@settings_options()
def unshelve(settings: Settings, camera: str | None, kind: str | None, everything: bool, by: str) -> None:
    """End a shelf: what it hides and is still open is told now. Name it just as it was made; --all ends all."""
    scopes = [] if everything and not (camera or kind) else [_scope(camera, kind, everything)]
    desk = _desk(settings)
    _wait(desk, desk.unshelve(scopes, by))
    click.echo(f"{scopes[0]} are not shelved any more" if scopes else "nothing is shelved any more")


def _desk(settings: Settings) -> AlertDesk:
    return AlertDesk(connect(settings), LineKeys(settings.line))


def _wait(desk: AlertDesk, order_ids: Sequence[str]) -> None:
    """Until the orders are carried out.

    Raises:
        OrderWaits: they are not, within `CARRIED_OUT_WITHIN_S`.
    """
    deadline = time.monotonic() + CARRIED_OUT_WITHIN_S
    while desk.waiting(order_ids):
        if time.monotonic() > deadline:
            raise OrderWaits(
                "the order is given and waits, for nobody has carried it out yet: does `line-worker alerts` run?"
            )
        time.sleep(LOOK_AGAIN_S)


def _alert_line(alert: AlertSeen, now: int) -> str:
    marks = []
    if alert.acknowledged_by:
        marks.append(f"acknowledged by {alert.acknowledged_by}" + (f": {alert.note}" if alert.note else ""))
    if alert.shelved_until:
        marks.append(f"shelved until {format_time(alert.shelved_until, _AT)}")
    what = "; ".join([*marks, alert.message])
    where = alert.camera or "the line"
    return (
        f"{alert.alert_id}  {_age(now - alert.opened_at):>7}  {where:<12} {alert.kind:<14} {alert.severity:<8}  {what}"
    )


def _shelf_line(shelf: Shelf) -> str:
    note = f": {shelf.note}" if shelf.note else ""
    whose = str(shelf)
    return f"{whose[0].upper()}{whose[1:]} are shelved until {format_time(shelf.until, _AT)} by {shelf.by}{note}"


def _age(ns: int) -> str:
    """In the two largest units, as 2h 05m."""
    seconds = max(0, ns // 1_000_000_000)
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3_600:
        return f"{seconds // 60}m {seconds % 60:02}s"
    if seconds < 86_400:
        return f"{seconds // 3_600}h {seconds % 3_600 // 60:02}m"
    return f"{seconds // 86_400}d {seconds % 86_400 // 3_600:02}h"
