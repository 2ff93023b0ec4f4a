"""Shelves and orders by themselves."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.alerts.shelf import MOST_SHELVES, Shelf, Shelves, in_force, is_shelved, shelve, shelved_until, unshelve
from worker.orders import MOST_SHELF_S, Acknowledge, Scope, Shelve, Unshelve, parse_order
from worker.types import AlertKind

S = 1_000_000_000
NOW = 1_700_000_000 * S
ANOMALY, LATE, BACKLOG = AlertKind.ANOMALY, AlertKind.LATE, AlertKind.BACKLOG


def put(camera: str = "", kind: Any = "", seconds: int = 60, shelves: Shelves = (), at: int = NOW) -> Shelves:
    return shelve(shelves, Shelve(camera=camera, kind=kind, seconds=seconds, by="anna"), at, at)


@pytest.mark.parametrize(
    ("camera", "kind", "covered"),
    [
        ("", "", {"c1 anomaly", "c1 late", "c2 anomaly", " backlog"}),
        ("c1", "", {"c1 anomaly", "c1 late"}),
        ("", "anomaly", {"c1 anomaly", "c2 anomaly"}),
        ("c1", "anomaly", {"c1 anomaly"}),
        ("", "backlog", {" backlog"}),
    ],
)
def test_a_shelf_covers_what_it_names(camera: str, kind: str, covered: set[str]) -> None:
    alerts = [("c1", ANOMALY), ("c1", LATE), ("c2", ANOMALY), ("", BACKLOG)]
    found = {f"{of} {what}" for of, what in alerts if is_shelved(put(camera, kind), of, what)}
    assert found == covered


def test_it_is_over_when_its_time_is() -> None:
    shelves = put("c1", seconds=60)
    assert in_force(shelves, NOW + 60 * S - 1) == shelves
    assert in_force(shelves, NOW + 60 * S) == ()
    assert shelved_until(shelves, "c1", LATE) == NOW + 60 * S
    assert shelved_until(shelves, "c2", LATE) == 0


def test_a_new_one_for_the_same_takes_the_place_of_the_old_one() -> None:
    shelves = put("c1", seconds=3600, shelves=put("c1", LATE))
    shelves = put("c1", seconds=60, shelves=shelves)
    assert [(shelf.camera, shelf.kind, shelf.until) for shelf in shelves] == [
        ("c1", LATE, NOW + 60 * S),
        ("c1", "", NOW + 60 * S),
    ]
    # One that names something else is another, and each is ended by its own name.
    assert [shelf.kind for shelf in unshelve(shelves, Unshelve(camera="c1", by="bo"))] == [LATE]
    assert unshelve(shelves, Unshelve(kind=LATE, by="bo")) == shelves


def test_an_order_that_is_carried_out_twice_or_late_changes_nothing() -> None:
    order = Shelve(camera="c1", seconds=60, by="anna")
    once = shelve((), order, NOW, NOW)
    assert shelve(once, order, NOW, NOW + 30 * S) == once
    # Given an alert process that was away for longer than the shelf, I expect it to be over by then
    assert in_force(shelve((), order, NOW, NOW + 61 * S), NOW + 61 * S) == ()


def test_a_clock_that_is_set_back_does_not_make_it_longer_than_was_ordered() -> None:
    shelves = put("c1", seconds=60)
    earlier = NOW - 86_400 * S
    (shelf,) = in_force(shelves, earlier)
    assert (shelf.since, shelf.until) == (earlier, earlier + 60 * S)
    # Nor does an entry whose id somebody chose from the future
    (shelf,) = shelve((), Shelve(seconds=60, by="anna"), 2**64 * 1_000_000, NOW)
    assert shelf.until == NOW + 60 * S


def test_there_is_a_bound_on_how_many_there_are() -> None:
    shelves: Shelves = ()
    for number in range(MOST_SHELVES):
        shelves = put(f"c{number}", shelves=shelves)
    with pytest.raises(ValueError, match="unshelve"):
        put("another", shelves=shelves)
    assert len(put("c0", seconds=5, shelves=shelves)) == MOST_SHELVES


@given(st.lists(st.tuples(st.sampled_from(["", "c1", "c2"]), st.integers(1, 90), st.integers(-100, 100)), max_size=20))
def test_none_lasts_longer_than_ordered_whatever_the_clock_does(steps: list[tuple[str, int, int]]) -> None:
    shelves, now = (), NOW
    for camera, seconds, passed in steps:
        now += passed * S
        shelves = in_force(put(camera, seconds=seconds, shelves=in_force(shelves, now), at=now), now)
        assert all(shelf.since <= now < shelf.until <= shelf.since + 90 * S for shelf in shelves)
        assert len({(shelf.camera, shelf.kind) for shelf in shelves}) == len(shelves)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"order": "shelve"},
        {"order": "drop", "by": "anna"},
        {"order": "shelve", "by": ""},
        {"order": "shelve", "by": "a" * 65},
        {"order": "shelve", "by": "anna\n"},
        {"order": "shelve", "by": "anna", "note": "x" * 501},
        {"order": "shelve", "by": "anna", "note": "bell \a"},
        {"order": "shelve", "by": "anna", "seconds": "0"},
        {"order": "shelve", "by": "anna", "seconds": str(MOST_SHELF_S + 1)},
        {"order": "shelve", "by": "anna", "seconds": "1e3"},
        {"order": "shelve", "by": "anna", "seconds": "nan"},
        {"order": "shelve", "by": "anna", "camera": "a b"},
        {"order": "shelve", "by": "anna", "camera": "c1\n"},
        {"order": "shelve", "by": "anna", "kind": "anomalies"},
        {"order": "shelve", "by": "anna", "camra": "c1"},  # must not be taken for all cameras
        {"order": "unshelve"},
        {"order": "unshelve", "by": "anna", "seconds": "60"},
        {"order": "acknowledge", "by": "anna"},
        {"order": "acknowledge", "by": "anna", "alert_id": ""},
        {"order": "acknowledge", "by": "anna", "alert_id": "x" * 513},
    ],
)
def test_what_is_no_order_is_refused(fields: dict[str, str]) -> None:
    with pytest.raises(ValueError):
        parse_order(fields)


@pytest.mark.parametrize(
    "order",
    [
        Acknowledge(alert_id="c1:anomaly:1-0", by="anna", note="on my way"),
        Shelve(camera="c1", kind=ANOMALY, seconds=MOST_SHELF_S, by="Łucja, shift 2"),
        Shelve(by="anna"),
        Unshelve(kind=BACKLOG, by="anna"),
    ],
)
def test_an_order_is_the_same_after_its_way_as_text(order: Acknowledge | Shelve | Unshelve) -> None:
    assert parse_order({name: str(value) for name, value in order.model_dump(mode="json").items()}) == order


def test_what_is_meant_is_said_in_words() -> None:
    scopes = [Scope(), Scope(camera="c1"), Scope(kind=LATE), Scope(camera="c1", kind=LATE)]
    assert [str(scope) for scope in scopes] == ["all alerts", "alerts of c1", "all late alerts", "late alerts of c1"]
    shelf = Shelf(camera="c1", since=1, until=2, by="anna")
    assert shelf.same(Scope(camera="c1"))
    assert not shelf.same(Scope())
