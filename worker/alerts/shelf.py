"""Shelves (ISA-18.2): alerts that somebody has put aside for a time, so that nobody is told of them.

A shelf is in force while it stands in the line's state, and is taken from there when its time is over. No decision
on an alert looks at a clock for it, so that a replay comes to the same.
"""

from __future__ import annotations

from collections.abc import Iterable

from worker.orders import By, Note, Scope, Shelve, Unshelve
from worker.types import AlertKind

_NS_PER_S = 1_000_000_000

MOST_SHELVES = 200
"""A bound on the line's state, far above what anybody keeps an eye on."""


class Shelf(Scope):
    """Alerts that are put aside, from `since` to `until` in unix nanoseconds."""

    since: int
    until: int
    by: By
    note: Note = ""


Shelves = tuple[Shelf, ...]


def is_shelved(shelves: Shelves, camera: str, kind: AlertKind) -> bool:
    """Whether an alert of this camera (empty: the line's) and kind is put aside."""
    return any(shelf.covers(camera, kind) for shelf in shelves)


def shelved_until(shelves: Iterable[Shelf], camera: str, kind: AlertKind) -> int:
    """Until when it is; 0 where it is not. Unix nanoseconds."""
    return max((shelf.until for shelf in shelves if shelf.covers(camera, kind)), default=0)


def shelve(shelves: Shelves, order: Shelve, given_at: int, now: int) -> Shelves:
    """The shelves with the ordered one, in the place of one for the same alerts.

    An order that is carried out twice, or late, comes to the same: its time counts from when it was given. All times
    are unix nanoseconds.

    Raises:
        ValueError: there are too many.
    """
    since = min(given_at, now)  # whoever gives an order may choose its entry's id
    until = since + order.seconds * _NS_PER_S
    shelf = Shelf(camera=order.camera, kind=order.kind, since=since, until=until, by=order.by, note=order.note)
    others = tuple(one for one in shelves if not one.same(shelf))
    if len(others) >= MOST_SHELVES:
        raise ValueError(f"there are {MOST_SHELVES} shelves already; end some with `line-worker alerts unshelve`")
    return (*others, shelf)


def unshelve(shelves: Shelves, order: Unshelve) -> Shelves:
    """The shelves without that for exactly the ordered alerts."""
    return tuple(shelf for shelf in shelves if not shelf.same(order))


def in_force(shelves: Shelves, now: int) -> Shelves:
    """The shelves that are not over. One that begins after `now`, since the clock was set back, begins now: it may not
    last longer than it was ordered for from here."""
    return tuple(_begun(shelf, now) for shelf in shelves if now < shelf.until)


def _begun(shelf: Shelf, now: int) -> Shelf:
    if shelf.since <= now:
        return shelf
    return shelf.model_copy(update={"since": now, "until": now + shelf.until - shelf.since})
