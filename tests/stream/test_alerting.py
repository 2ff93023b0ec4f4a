"""The Redis side of alerting, on every server of this machine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from worker.errors import StreamError, StreamUnavailable
from worker.settings import KeepSettings, Settings
from worker.stream.alerting import LINE, STATE_KEPT_S, AlertStore, Saved
from worker.stream.connection import Client, connect
from worker.stream.consume import FrameConsumer
from worker.stream.fields import flat_fields, result_to_fields
from worker.stream.keys import LineKeys
from worker.stream.outbox import Outbox
from worker.stream.outbox_letters import OutboxLetters
from worker.types import Alert, AlertKind, AlertState, Result, Severity, Verdict


@pytest.fixture
def client(each_settings: Settings) -> Iterator[Client]:
    client = connect(each_settings)
    yield client
    client.close()


@pytest.fixture
def store(client: Client, keys: LineKeys) -> AlertStore:
    return AlertStore(client, keys, KeepSettings())


def publish(client: Client, keys: LineKeys, number: int, camera: str = "c1") -> str:
    result = Result(frame=f"{number}-0", camera=camera, verdict=Verdict.NG, seq=number, score=0.5, threshold=0.1)
    entry_id = client.execute_command("XADD", keys.results, "*", *flat_fields(result_to_fields(result)))
    return entry_id.decode()


def alert(number: int = 0) -> Alert:
    return Alert(
        f"c1:anomaly:{number}-0",
        "c1",
        AlertKind.ANOMALY,
        AlertState.RAISED,
        Severity.CRITICAL,
        opened_at=1,
        at=1,
    )


def unsettled(client: Client, keys: LineKeys) -> int:
    return int(client.execute_command("XPENDING", keys.results, "alerting")[0])


def test_results_from_before_the_first_start_are_read(client: Client, keys: LineKeys, store: AlertStore) -> None:
    ids = [publish(client, keys, number) for number in range(3)]
    assert store.read(block_ms=1) == []  # this made the group
    assert [result.id for result in store.read(block_ms=1)] == ids


def test_a_step_is_state_events_and_acknowledgement(client: Client, keys: LineKeys, store: AlertStore) -> None:
    store.read(block_ms=1)
    ids = [publish(client, keys, number) for number in range(2)]
    store.read(block_ms=1)
    told = store.commit("c1", Saved(0, "one"), ids, [alert(0), alert(1)])
    assert told is not None
    assert len(told) == 2
    assert [entry[0].decode() for entry in client.execute_command("XRANGE", keys.alerts, "-", "+")] == told
    assert unsettled(client, keys) == 0
    assert store.load() == {"c1": Saved(1, "one")}
    assert store.commit("c1", Saved(1, "two")) == []
    assert store.load() == {"c1": Saved(2, "two")}


def test_a_deleted_group_is_made_again_where_it_stood(client: Client, keys: LineKeys, store: AlertStore) -> None:
    # Given ten results, of which some are settled, not in the stream's order
    store.read(block_ms=1)
    ids = [publish(client, keys, number) for number in range(10)]
    assert len(store.read(count=8, block_ms=1)) == 8
    store.commit("c1", Saved(0, "one"), [ids[0], ids[1], ids[2], ids[5]])
    store.commit("c1", Saved(1, "two"), [ids[3]])

    # If somebody deletes the group, and one more is settled before that is seen
    client.execute_command("XGROUP", "DESTROY", keys.results, "alerting")
    store.commit("c1", Saved(2, "three"), [ids[7]])
    with pytest.raises(StreamUnavailable, match="deleted"):
        store.read(block_ms=1)

    # I expect the unsettled ones, once, and no other
    assert [result.id for result in store.pending() + store.read(block_ms=1)] == [ids[4], ids[6], ids[8], ids[9]]
    assert AlertStore(client, keys, KeepSettings()).pending() == store.pending()
    store.commit("c1", Saved(3, "four"), [ids[4], ids[6], ids[8], ids[9]])
    assert client.execute_command("HGETALL", keys.settled) == [b"floor", ids[9].encode()]


def test_a_cameras_state_expires_unless_it_is_renewed_and_the_lines_does_not(
    client: Client, keys: LineKeys, store: AlertStore
) -> None:
    for name in ("c1", LINE):
        store.commit(name, Saved(0, "one"))
    assert client.execute_command("TTL", keys.alarm(LINE)) == -1
    client.execute_command("EXPIRE", keys.alarm("c1"), 5)
    store.commit("c1", Saved(1, "two"))
    assert STATE_KEPT_S - 5 < client.execute_command("TTL", keys.alarm("c1")) <= STATE_KEPT_S


def test_a_state_is_forgotten_in_one_step_with_its_events(client: Client, keys: LineKeys, store: AlertStore) -> None:
    store.commit("c1", Saved(0, "one"))
    assert store.commit("c1", Saved(0, ""), [], [alert()]) is None
    told = store.commit("c1", Saved(1, ""), [], [alert()])
    assert told is not None
    assert len(told) == 1
    assert store.load() == {}
    assert client.execute_command("EXISTS", keys.alarm("c1")) == 0


def test_a_step_from_an_old_state_does_nothing(client: Client, keys: LineKeys, store: AlertStore) -> None:
    store.read(block_ms=1)
    entry_id = publish(client, keys, 0)
    store.read(block_ms=1)
    assert store.commit("c1", Saved(0, "first")) == []
    assert store.commit("c1", Saved(0, "second"), [entry_id], [alert()]) is None
    assert store.load() == {"c1": Saved(1, "first")}
    assert unsettled(client, keys) == 1
    assert client.execute_command("XLEN", keys.alerts) == 0


def test_a_step_that_cannot_publish_changes_nothing(client: Client, keys: LineKeys, store: AlertStore) -> None:
    client.execute_command("SET", keys.alerts, "not a stream")
    with pytest.raises(Exception, match="WRONGTYPE"):
        store.commit("c1", Saved(0, "one"), [], [alert()])
    assert store.load() == {}


def test_states_of_cameras_and_of_the_line_are_told_apart(store: AlertStore) -> None:
    for name in ("c1", "c.2-x_", LINE):
        assert store.commit(name, Saved(0, name)) == []
    assert store.load() == {name: Saved(1, name) for name in ("c1", "c.2-x_", LINE)}


@pytest.mark.parametrize("name", ["a+b", "#", "a/b", "a:b", "", "x" * 65, "@other", "c1\n"])
def test_a_key_that_is_no_cameras_is_passed_over(client: Client, keys: LineKeys, store: AlertStore, name: str) -> None:
    client.execute_command("HSET", keys.alarm(name), "version", 1, "state", "{}")
    store.commit("c1", Saved(0, "one"))
    assert store.load() == {"c1": Saved(1, "one")}


def test_what_was_read_but_not_settled_is_found_again(client: Client, keys: LineKeys, store: AlertStore) -> None:
    store.read(block_ms=1)
    ids = [publish(client, keys, number) for number in range(250)]
    for _ in range(3):
        store.read(block_ms=1)
    store.commit("c1", Saved(0, ""), ids[3:10])
    reborn = AlertStore(client, keys, KeepSettings())
    assert [result.id for result in reborn.pending()] == ids[:3] + ids[10:]


def test_results_that_were_trimmed_while_pending_are_let_go(client: Client, keys: LineKeys, store: AlertStore) -> None:
    store.read(block_ms=1)
    ids = [publish(client, keys, number) for number in range(3)]
    store.read(block_ms=1)
    client.execute_command("XTRIM", keys.results, "MAXLEN", 1)
    assert [result.id for result in store.pending()] == ids[2:]
    assert unsettled(client, keys) == 1


@pytest.mark.parametrize(
    "fields",
    [
        ["hello", "world"],
        ["camera", "c1", "verdict", "MAYBE"],
        ["camera", "@line", "verdict", "OK"],
        ["camera", b"\xff", "verdict", "OK"],
        ["camera", "c1", "verdict", "OK", "timings", "{"],
        ["camera", "c1", "verdict", "OK", "regions", "[1]"],
    ],
)
def test_entries_that_are_no_results_are_let_go(
    client: Client, keys: LineKeys, store: AlertStore, fields: list[str | bytes]
) -> None:
    store.read(block_ms=1)
    client.execute_command("XADD", keys.results, "*", *fields)
    good = publish(client, keys, 1)
    assert [result.id for result in store.read(block_ms=1)] == [good]
    assert unsettled(client, keys) == 1


def test_a_flushed_redis_is_begun_afresh(client: Client, keys: LineKeys, store: AlertStore) -> None:
    store.read(block_ms=1)
    client.execute_command("FLUSHALL")
    entry_id = publish(client, keys, 1)
    assert store.pending() == []  # this made the group again
    assert [result.id for result in store.read(block_ms=1)] == [entry_id]


def test_the_clock_is_that_of_entry_ids(client: Client, keys: LineKeys, store: AlertStore) -> None:
    entry_ms = int(publish(client, keys, 1).partition("-")[0])
    assert 0 <= store.now() // 1_000_000 - entry_ms < 5_000


def test_a_look_at_a_line_that_does_not_exist_yet(store: AlertStore) -> None:
    view = store.look()
    assert (view.waiting, view.workers) == (0, ())


def test_a_worker_that_shows_up_is_seen_also_where_it_has_nothing_to_do(
    client: Client, keys: LineKeys, store: AlertStore
) -> None:
    workers = {name: FrameConsumer(client, keys, name, claim_idle_ms=1_000) for name in ("a", "b")}
    for worker in workers.values():
        worker.join()
    time.sleep(0.1)
    workers["a"].read(1, block_ms=1)  # a read that gives no frame is not noted before Redis 7.2
    workers["a"].show_up()
    away_s = {worker.name: worker.away_s for worker in store.look().workers}
    assert away_s["a"] < 0.1 <= away_s["b"]


def test_a_result_that_was_left_is_noticed(client: Client, keys: LineKeys, store: AlertStore) -> None:
    assert not store.has_left(0)  # there is no group yet
    store.read(block_ms=1)
    entry_id = publish(client, keys, 0)
    store.read(block_ms=1)
    assert not store.has_left(10_000)
    time.sleep(0.1)
    assert store.has_left(50)
    store.commit("c1", Saved(0, "one"), [entry_id])
    assert not store.has_left(0)


def test_an_event_is_put_on_every_outbox_in_the_step_that_decides_it(client: Client, keys: LineKeys) -> None:
    store = AlertStore(client, keys, KeepSettings(), ["log", "webhook"])
    told = store.commit("c1", Saved(0, "one"), [], [alert(0), alert(1)])
    assert told is not None
    for sink in ("log", "webhook"):
        waiting = list(outbox(client, keys, sink).all())
        assert [(one.event, one.camera) for one in waiting] == [(event, "c1") for event in told]
    # And a step from an old state puts nothing there
    assert store.commit("c1", Saved(0, "one"), [], [alert(2)]) is None
    assert outbox(client, keys, "log").length() == 2


def test_a_shelved_event_stands_on_the_stream_and_goes_to_no_sink(client: Client, keys: LineKeys) -> None:
    store = AlertStore(client, keys, KeepSettings(), ["log"])
    told = store.commit("c1", Saved(0, "one"), [], [replace(alert(0), shelved=True), alert(1)])
    assert told is not None
    assert len(told) == 2
    assert [one.event for one in outbox(client, keys, "log").all()] == told[1:]


def test_a_new_sink_gets_what_comes_from_then_on(client: Client, keys: LineKeys) -> None:
    AlertStore(client, keys, KeepSettings(), ["log"]).commit("c1", Saved(0, "one"), [], [alert(0)])
    told = AlertStore(client, keys, KeepSettings(), ["log", "mqtt"]).commit("c1", Saved(1, "two"), [], [alert(1)])
    assert [one.event for one in outbox(client, keys, "mqtt").all()] == told
    assert outbox(client, keys, "log").length() == 2


def test_a_step_that_cannot_fill_an_outbox_changes_nothing(client: Client, keys: LineKeys) -> None:
    client.execute_command("SET", keys.outbox("webhook").waiting, "not a stream")
    store = AlertStore(client, keys, KeepSettings(), ["log", "webhook"])
    with pytest.raises(StreamError, match="WRONGTYPE"):
        store.commit("c1", Saved(0, "one"), [], [alert()])
    assert store.load() == {}
    assert client.execute_command("EXISTS", keys.alerts, keys.outbox("log").waiting) == 0


def test_what_is_too_much_for_an_outbox_is_a_dead_letter_the_oldest_first(client: Client, keys: LineKeys) -> None:
    store = AlertStore(client, keys, KeepSettings(), ["log"], most_waiting=3)
    first = store.commit("c1", Saved(0, "one"), [], [alert(number) for number in range(3)])
    assert first is not None
    # Given the oldest on its way to the sink
    log = outbox(client, keys, "log")
    assert log.take()
    head = next(log.all())
    log.seal(head.event, [head.id])
    # When two more come
    more = store.commit("c1", Saved(1, "two"), [], [alert(3), alert(4)])
    assert more is not None
    # Then the oldest that are not on their way make room, and that is said
    assert [one.event for one in log.all()] == [first[0], *more]
    letters = OutboxLetters(client, keys)
    assert [(one.reason, one.alert["id"]) for one in letters.letters("log")] == [
        ("overflow", event) for event in first[1:]
    ]
    assert letters.look(["log"])[0].buried == {"overflow": 2}


def outbox(client: Client, keys: LineKeys, sink: str) -> Outbox:
    return Outbox(client, keys, sink, KeepSettings(), "me")
