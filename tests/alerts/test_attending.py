"""Orders that people give, carried out by a real alert loop on a real Redis."""

from __future__ import annotations

import random

import line
import pytest
from alert_loops import Clock, Killed, MortalStore, QuickStore, SetClockStore, loop_of, settings_at, store_of
from alert_results import NG, OK
from structlog.testing import capture_logs

from worker.errors import NoSuchAlert
from worker.orders import Acknowledge, Scope, Shelve, Unshelve
from worker.runtime.alert_desk import AlertDesk
from worker.runtime.alert_loop import AlertLoop
from worker.settings import Settings
from worker.stream.connection import Client
from worker.stream.orders import PAGE, Orders
from worker.types import Alert, AlertKind, AlertState

RAISED, UPDATED, CLEARED, ACKNOWLEDGED = (
    AlertState.RAISED, AlertState.UPDATED, AlertState.CLEARED, AlertState.ACKNOWLEDGED,
)  # fmt: skip


@pytest.fixture
def settings(redis_url: str) -> Settings:
    rule = {"anomaly__window": 1, "anomaly__raise_at": 1, "anomaly__clear_after": 2}
    return settings_at(redis_url, reorder_ms=0, worker_down_s=0, **rule)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(client: Client, settings: Settings) -> SetClockStore:
    return SetClockStore(client, line.KEYS, settings.keep)


@pytest.fixture
def loop(store: SetClockStore, settings: Settings, clock: Clock) -> AlertLoop:
    return loop_of(store, settings, clock)


@pytest.fixture
def desk(client: Client) -> AlertDesk:
    return AlertDesk(client, line.KEYS)


@pytest.fixture
def orders(client: Client) -> Orders:
    return Orders(client, line.KEYS)


def raise_one(client: Client, loop: AlertLoop, seq: int = 0, camera: str = "c1") -> str:
    line.publish(client, [(seq, NG)], camera)
    loop.step()
    return line.alerts(client)[-1].alert_id


def attend(loop: AlertLoop, clock: Clock) -> None:
    clock.now += 1
    loop.step()


def said(client: Client) -> list[tuple[AlertState, bool]]:
    return [(event.state, event.shelved) for event in line.alerts(client)]


def waiting(client: Client) -> int:
    return int(client.execute_command("XLEN", line.KEYS.orders))


def add(client: Client, *fields: object, entry_id: str = "*") -> None:
    client.execute_command("XADD", line.KEYS.orders, entry_id, *fields)


def test_an_alert_is_acknowledged_by_an_order(client: Client, loop: AlertLoop, clock: Clock, desk: AlertDesk) -> None:
    alert_id = raise_one(client, loop)
    (order,) = desk.acknowledge(alert_id, by="anna", note="on my way")
    assert desk.waiting([order]) == [order]
    attend(loop, clock)
    assert desk.waiting([order]) == []
    told = line.alerts(client)[-1]
    assert (told.state, told.alert_id, told.by, told.note) == (ACKNOWLEDGED, alert_id, "anna", "on my way")
    (seen,) = desk.look().alerts
    assert (seen.acknowledged_by, seen.note, seen.acknowledged_at) == ("anna", "on my way", told.at)
    # Somebody else comes too late: there is nothing to order, and nothing to carry out
    assert desk.acknowledge(alert_id, by="bo") == []
    Orders(client, line.KEYS).give([Acknowledge(alert_id=alert_id, by="bo")])
    attend(loop, clock)
    assert said(client) == [(RAISED, False), (ACKNOWLEDGED, False)]
    assert not client.execute_command("EXISTS", line.KEYS.orders)


def test_what_is_meant_by_a_camera_is_what_was_open_when_the_order_was_given(
    client: Client, loop: AlertLoop, clock: Clock, desk: AlertDesk
) -> None:
    first = raise_one(client, loop)
    raise_one(client, loop, camera="c2")
    desk.acknowledge(Scope(camera="c1"), by="anna")
    # Given that it is cleared and another is raised before the order is carried out
    line.publish(client, [(1, OK), (2, OK), (3, NG)])
    attend(loop, clock)
    attend(loop, clock)
    assert ACKNOWLEDGED not in [event.state for event in line.alerts(client)]
    assert waiting(client) == 0
    # And all of the line
    assert len(desk.acknowledge(Scope(), by="anna")) == 2
    attend(loop, clock)
    acknowledged = [event.alert_id for event in line.alerts(client) if event.state is ACKNOWLEDGED]
    assert len(acknowledged) == 2
    assert first not in acknowledged


def test_an_order_that_would_come_to_nothing_is_refused_with_what_there_is(
    client: Client, loop: AlertLoop, clock: Clock, desk: AlertDesk
) -> None:
    with pytest.raises(NoSuchAlert, match="open are: none"):
        desk.acknowledge("c1:anomaly:1-0", by="anna")
    alert_id = raise_one(client, loop)
    for meant in ("c1:anomaly:1-0", Scope(camera="c2"), Scope(camera="c1", kind=AlertKind.LATE)):
        with pytest.raises(NoSuchAlert, match=alert_id):
            desk.acknowledge(meant, by="anna")
    with pytest.raises(NoSuchAlert, match="there are: none"):
        desk.unshelve([Scope(camera="c1")], by="anna")
    desk.give([Shelve(camera="c1", by="anna")])
    attend(loop, clock)
    with pytest.raises(NoSuchAlert, match="there are: alerts of c1"):
        desk.unshelve([Scope()], by="anna")
    assert waiting(client) == 0


def test_a_camera_may_be_called_line(client: Client, loop: AlertLoop, clock: Clock, desk: AlertDesk) -> None:
    for seq in range(2):
        client.execute_command("XADD", line.KEYS.frames, "*", "camera", "c1", "data", seq)
    loop._settings = loop._settings.model_copy(
        update={"queue": loop._settings.queue.model_copy(update={"max_frames": 1})}
    )
    raise_one(client, loop, camera="line")
    attend(loop, clock)
    assert sorted(alert.kind for alert in desk.look().alerts) == ["anomaly", "backlog"]
    desk.acknowledge(Scope(), by="anna")
    attend(loop, clock)
    assert [alert.acknowledged_by for alert in desk.look().alerts] == ["anna", "anna"]


def test_what_is_shelved_is_told_when_its_time_is_over(
    client: Client, loop: AlertLoop, clock: Clock, store: SetClockStore, desk: AlertDesk, settings: Settings
) -> None:
    desk.give([Shelve(camera="c1", seconds=600, by="anna", note="lens is changed")])
    attend(loop, clock)
    alert_id = raise_one(client, loop)
    raise_one(client, loop, camera="c2")
    assert said(client) == [(RAISED, True), (RAISED, False)]
    (shelf,) = desk.look().shelves
    assert (shelf.camera, shelf.by, shelf.note, shelf.until - shelf.since) == (
        "c1",
        "anna",
        "lens is changed",
        600 * 10**9,
    )
    # Neither a restart nor a clock that is set back ends it
    loop = loop_of(store, settings, clock)
    store.by_s = -86_400
    attend(loop, clock)
    store.by_s += 500
    attend(loop, clock)
    assert len(line.alerts(client)) == 2
    store.by_s += 200
    for _ in range(3):
        attend(loop, clock)
    told = line.alerts(client)[2:]
    assert [(event.state, event.shelved, event.alert_id) for event in told] == [(RAISED, False, alert_id)]
    assert desk.look().shelves == ()
    # And a restart does not tell it again
    attend(loop_of(store, settings, clock), clock)
    assert len(line.alerts(client)) == 3


def test_a_shelf_that_is_ended_tells_what_it_hid(
    client: Client, loop: AlertLoop, clock: Clock, desk: AlertDesk
) -> None:
    desk.give([Shelve(camera="c1", by="anna"), Shelve(kind=AlertKind.LATE, by="anna")])
    attend(loop, clock)
    raise_one(client, loop)
    desk.unshelve([Scope(camera="c1")], by="bo")
    attend(loop, clock)
    assert said(client) == [(RAISED, True), (RAISED, False)]
    assert [str(shelf) for shelf in desk.look().shelves] == ["all late alerts"]
    desk.unshelve([], by="bo")
    attend(loop, clock)
    assert desk.look().shelves == ()


def test_orders_wait_while_the_alert_process_is_away(client: Client, settings: Settings, desk: AlertDesk) -> None:
    clock = Clock()
    alert_id = raise_one(client, loop_of(store_of(client, settings), settings, clock))
    desk.acknowledge(alert_id, by="anna")
    given = desk.give([Shelve(camera="c2", by="anna")])
    assert desk.waiting(given) == given
    attend(loop_of(store_of(client, settings), settings, clock), clock)
    assert waiting(client) == 0
    assert [alert.acknowledged_by for alert in desk.look().alerts] == ["anna"]
    assert [str(shelf) for shelf in desk.look().shelves] == ["alerts of c2"]


def test_what_waits_in_the_reorder_window_does_not_hold_up_an_order(client: Client, redis_url: str) -> None:
    settings = settings_at(redis_url, reorder_ms=60_000, anomaly__window=1, anomaly__raise_at=1)
    clock, desk = Clock(), AlertDesk(client, line.KEYS)
    loop = loop_of(store_of(client, settings), settings, clock)
    line.publish(client, [(0, NG)])
    loop.step()
    clock.now = 61
    loop.step()
    # Given a result that waits for one before it
    line.publish(client, [(2, NG)])
    attend(loop, clock)
    desk.acknowledge(Scope(), by="anna")
    attend(loop, clock)
    assert [event.state for event in line.alerts(client)] == [RAISED, ACKNOWLEDGED]
    # I expect it to be counted all the same
    line.publish(client, [(1, NG)])
    attend(loop, clock)
    assert [alert.count for alert in desk.look().alerts] == [3]
    assert line.unsettled(client) == 0


GARBAGE: list[tuple[object, ...]] = [
    ("a", "b"),
    ("order", "shelve"),
    ("order", "shelve", "by", "anna", "camra", "c1"),
    ("order", "shelve", "by", "anna", "seconds", "9" * 400),
    ("order", b"\xff\xfe", b"\xff", b"\x00"),
    ("order", "acknowledge", "alert_id", "x" * 100_000, "by", "anna"),
    ("order", "acknowledge", "alert_id", "nothing", "by", "anna"),
    ("order", "acknowledge", "alert_id", "@line", "by", "anna"),
    ("order", "unshelve", "by", "anna", "camera", "../c1"),
    ("", ""),
]


def test_what_is_no_order_is_logged_and_taken_off(
    client: Client, loop: AlertLoop, clock: Clock, desk: AlertDesk
) -> None:
    for fields in GARBAGE:
        add(client, *fields)
    desk.give([Shelve(camera="c1", by="anna")])
    with capture_logs() as logs:
        attend(loop, clock)
    assert waiting(client) == 0
    assert [str(shelf) for shelf in desk.look().shelves] == ["alerts of c1"]
    assert [entry["event"] for entry in logs].count("entry is not an order") == len(GARBAGE) - 2
    assert all(len(str(entry)) < 1_000 for entry in logs)
    raise_one(client, loop, camera="c2")


def test_more_orders_than_a_page_are_carried_out_one_page_after_the_other(
    client: Client, loop: AlertLoop, orders: Orders, desk: AlertDesk, clock: Clock
) -> None:
    given = orders.give([Shelve(camera=f"c{number % 150}", by="anna") for number in range(2 * PAGE + 1)])
    assert desk.waiting(given) == given
    clock.now += 1
    for _ in range(3):  # time stands still: where a page was full nobody waits for the next look
        loop.step()
    assert waiting(client) == 0
    assert desk.waiting(given) == []
    assert len(desk.look().shelves) == 150


def test_too_many_shelves_are_refused_and_said(
    client: Client, loop: AlertLoop, orders: Orders, desk: AlertDesk, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.alerts.shelf.MOST_SHELVES", 2)
    orders.give([Shelve(camera=f"c{number}", by="anna") for number in range(3)])
    with capture_logs() as logs:
        attend(loop, clock)
    assert len(desk.look().shelves) == 2
    assert [entry["what"] for entry in logs if "refused" in entry["event"]] == ["alerts of c2"]


def test_alerts_go_on_where_orders_cannot_be_read(
    client: Client, loop: AlertLoop, clock: Clock, desk: AlertDesk
) -> None:
    client.execute_command("SET", line.KEYS.orders, "not a stream")
    with capture_logs() as logs:
        for seq in range(3):
            raise_one(client, loop, seq)
            attend(loop, clock)
    assert [entry["event"] for entry in logs].count("orders cannot be read: nothing is acknowledged or shelved") == 1
    assert said(client)[0] == (RAISED, False)
    client.execute_command("DEL", line.KEYS.orders)
    desk.acknowledge(Scope(), by="anna")
    attend(loop, clock)
    assert said(client)[-1] == (ACKNOWLEDGED, False)


def test_an_entry_from_the_end_of_time_does_not_shut_others_out(
    client: Client, loop: AlertLoop, clock: Clock, desk: AlertDesk
) -> None:
    last = 2**64 - 1
    add(client, "order", "shelve", "by", "anna", "seconds", 60, entry_id=f"{last}-{last}")
    attend(loop, clock)
    (shelf,) = desk.look().shelves
    assert shelf.until - desk.look().at <= 60 * 10**9
    desk.give([Unshelve(by="bo")])
    attend(loop, clock)
    assert desk.look().shelves == ()


def test_orders_make_nobody_think_that_there_is_a_second_process(
    client: Client, loop: AlertLoop, clock: Clock, desk: AlertDesk
) -> None:
    raise_one(client, loop)
    with capture_logs() as logs:
        for _ in range(3):
            desk.acknowledge(Scope(), by="anna")
            desk.give([Shelve(camera="c1", by="anna")])
            attend(loop, clock)
            desk.unshelve([], by="anna")
            attend(loop, clock)
    assert not [entry for entry in logs if "another" in entry["event"]]


def test_a_second_process_by_accident_knows_of_every_shelf(client: Client, settings: Settings, desk: AlertDesk) -> None:
    clock = Clock()
    loops = [loop_of(store_of(client, settings), settings, clock) for _ in range(2)]
    desk.give([Shelve(camera="c1", by="anna")])
    attend(loops[0], clock)
    attend(loops[1], clock)
    raise_one(client, loops[1])
    assert said(client) == [(RAISED, True)]
    desk.unshelve([], by="anna")
    for loop in (*loops, *loops):
        attend(loop, clock)
    assert said(client) == [(RAISED, True), (RAISED, False)]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("seed", [1, 2])
def test_dying_around_any_step_carries_every_order_out_and_none_twice(
    client: Client, settings: Settings, desk: AlertDesk, seed: int, after: bool
) -> None:
    clock, chance, deaths, seq = Clock(), random.Random(seed), 0, 0

    def reborn() -> AlertLoop:
        store = MortalStore(client, line.KEYS, settings.keep, lives=chance.randint(2, 6), after=after)
        return loop_of(store, settings, clock)

    loop = reborn()
    for _ in range(150):
        if chance.random() < 0.6:
            line.publish(client, [(seq, chance.choice([NG, OK, OK]))], chance.choice(["c1", "c2"]))
            seq += 1
        _order_something(desk, chance)
        clock.now += 0.3
        try:
            loop.step()
        except Killed:
            deaths += 1
            loop = reborn()
    assert deaths > 10
    # When it lives on and all shelves are ended, then all is carried out and what is open is told or in hand
    survivor = loop_of(QuickStore(client, line.KEYS, settings.keep), settings, clock)
    for _ in range(5):
        attend(survivor, clock)
    desk.unshelve([], by="anna")
    attend(survivor, clock)
    assert waiting(client) == 0
    assert line.unsettled(client) == 0
    seen = desk.look()
    assert seen.shelves == ()
    check_lives(line.alerts(client), {alert.alert_id for alert in seen.alerts})


def _order_something(desk: AlertDesk, chance: random.Random) -> None:
    kind = chance.choice(["", "", "acknowledge", "shelve", "unshelve"])
    if kind == "acknowledge":
        for alert in desk.look().alerts:
            desk.acknowledge(alert.alert_id, by="anna")
    elif kind == "shelve":
        desk.give([Shelve(camera=chance.choice(["", "c1", "c2"]), seconds=600, by="anna")])
    elif kind == "unshelve":
        desk.unshelve([], by="anna")


def check_lives(events: list[Alert], still_open: set[str]) -> None:
    """What sinks get of each alert: raised, acknowledged at most once, cleared; all that is open, unless in hand."""
    told: dict[str, list[AlertState]] = {}
    in_hand = {event.alert_id for event in events if event.state is ACKNOWLEDGED}
    for event in events:
        if not event.shelved:
            told.setdefault(event.alert_id, []).append(event.state)
    for alert_id, states in told.items():
        assert states[0] is RAISED
        assert [states.count(state) <= 1 for state in (RAISED, ACKNOWLEDGED, CLEARED)] == [True] * 3
        assert (states[-1] is CLEARED) == (alert_id not in still_open)
    acknowledged = [event.alert_id for event in events if event.state is ACKNOWLEDGED]
    assert len(acknowledged) == len(set(acknowledged))
    assert still_open <= told.keys() | in_hand
