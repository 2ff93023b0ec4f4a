"""A sink's outbox in Redis, on every server of this machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from worker.errors import StreamError
from worker.settings import KeepSettings, Settings
from worker.stream.alarm_states import Saved
from worker.stream.alerting import AlertStore
from worker.stream.connection import Client, connect
from worker.stream.keys import LineKeys
from worker.stream.outbox import LEASE_MS, LeaseLost, Outbox, OutboxEntry
from worker.stream.outbox_letters import OutboxLetters
from worker.types import Alert, AlertKind, AlertState, Severity

SINK = "webhook"


@pytest.fixture
def client(each_settings: Settings) -> Iterator[Client]:
    client = connect(each_settings)
    yield client
    client.close()


@pytest.fixture
def outbox(client: Client, keys: LineKeys) -> Outbox:
    """One whose lease is ours."""
    outbox = Outbox(client, keys, SINK, KeepSettings(), "me")
    assert outbox.take()
    return outbox


@pytest.fixture
def letters(client: Client, keys: LineKeys) -> OutboxLetters:
    return OutboxLetters(client, keys)


def other(client: Client, keys: LineKeys, keep: int = 10_000) -> Outbox:
    return Outbox(client, keys, SINK, KeepSettings(alerts=keep), "other")


def post(client: Client, keys: LineKeys, count: int, camera: str = "c1") -> list[OutboxEntry]:
    """New events on the outbox."""
    store = AlertStore(client, keys, KeepSettings(), [SINK])
    version = store.load().get(camera, Saved()).version
    alerts = [
        Alert(f"{camera}:{number}", camera, AlertKind.ANOMALY, AlertState.RAISED, Severity.CRITICAL, 1, 1)
        for number in range(count)
    ]
    assert store.commit(camera, Saved(version, "x"), [], alerts)
    return list(Outbox(client, keys, SINK, KeepSettings(), "any").all())[-count:]


def ids(entries: list[OutboxEntry]) -> list[str]:
    return [entry.id for entry in entries]


def test_one_process_has_the_lease_until_it_gives_it_back(client: Client, keys: LineKeys, outbox: Outbox) -> None:
    second = other(client, keys)
    assert not second.take()
    assert not second.renew()
    second.release()
    assert outbox.renew()
    outbox.release()
    assert not outbox.renew()  # only `take` takes what is nobody's
    assert second.take()
    assert not outbox.take()


def test_the_lease_of_a_dead_process_runs_out(client: Client, keys: LineKeys, outbox: Outbox) -> None:
    lease = keys.outbox(SINK).lease
    assert 0 < client.execute_command("PTTL", lease) <= LEASE_MS
    client.execute_command("PEXPIRE", lease, 1)
    second = other(client, keys)
    while not second.take():
        pass
    assert not outbox.renew()


def test_each_step_prolongs_the_lease(client: Client, keys: LineKeys, outbox: Outbox) -> None:
    (entry,) = post(client, keys, 1)
    for step in (
        lambda: outbox.seal(entry.event, [entry.id]),
        lambda: outbox.failed(entry.event, "503"),
        lambda: outbox.part(entry.event, [entry]),
        lambda: outbox.delivered(entry.event, [entry.id]),
        outbox.renew,
    ):
        client.execute_command("PEXPIRE", keys.outbox(SINK).lease, 1_000)
        step()
        assert client.execute_command("PTTL", keys.outbox(SINK).lease) > 1_000


def test_who_has_lost_the_lease_can_do_nothing(client: Client, keys: LineKeys, outbox: Outbox) -> None:
    (entry,) = post(client, keys, 1)
    outbox.seal(entry.event, [entry.id])
    outbox.release()
    assert other(client, keys).take()
    before = client.execute_command("HGETALL", keys.outbox(SINK).state)
    for step in (
        lambda: outbox.seal(entry.event, [entry.id]),
        lambda: outbox.part(entry.event, [entry]),
        lambda: outbox.failed(entry.event, "503"),
        lambda: outbox.delivered(entry.event, [entry.id]),
        lambda: outbox.bury(entry.event, [entry.id], "refused", "422"),
    ):
        with pytest.raises(LeaseLost):
            step()
    assert client.execute_command("HGETALL", keys.outbox(SINK).state) == before
    assert (outbox.length(), client.execute_command("EXISTS", keys.outbox(SINK).dead)) == (1, 0)


def test_entries_are_read_from_where_one_is_and_all_a_page_at_a_time(
    client: Client, keys: LineKeys, outbox: Outbox
) -> None:
    first = post(client, keys, 3)
    assert outbox.read("0-0", 0) == first
    assert outbox.read(first[1].id, 0) == first[2:]
    assert outbox.read(first[2].id, 1) == []
    many = first + post(client, keys, 1_500, "c2")
    assert list(outbox.all()) == many
    assert outbox.length() == len(many)


def test_a_sealed_message_is_found_again_and_goes_under_no_other_key(
    client: Client, keys: LineKeys, outbox: Outbox
) -> None:
    entries = post(client, keys, 3)
    alerts = outbox.seal("group", ids(entries[:2]))
    assert [alert.id for alert in alerts if isinstance(alert, Alert)] == [entry.event for entry in entries[:2]]
    outbox.release()
    second = other(client, keys)
    assert second.take()
    assert second.sealed() == {entry.id: "group" for entry in entries[:2]}
    assert second.seal("group", ids(entries[:2])) == alerts
    with pytest.raises(LeaseLost):
        second.seal(entries[1].event, [entries[1].id])
    with pytest.raises(LeaseLost):
        second.seal("another group", ids(entries[1:]))
    assert entries[2].id not in second.sealed()


def test_a_group_is_taken_apart_in_one_step(client: Client, keys: LineKeys, outbox: Outbox) -> None:
    entries = post(client, keys, 3)
    outbox.seal("group", ids(entries))
    outbox.failed("group", "500")
    outbox.part("group", entries)
    assert outbox.sealed() == {entry.id: entry.event for entry in entries}
    assert b"since:group" not in client.execute_command("HKEYS", keys.outbox(SINK).state)


def test_an_entry_that_is_gone_is_told_and_nothing_is_sealed(client: Client, keys: LineKeys, outbox: Outbox) -> None:
    entries = post(client, keys, 3)
    client.execute_command("XDEL", keys.outbox(SINK).waiting, entries[1].id)
    first, gone, last = outbox.seal("group", ids(entries))
    assert isinstance(first, Alert)
    assert isinstance(last, Alert)
    assert gone is None
    assert outbox.sealed() == {}


def test_what_was_delivered_leaves_nothing_behind(client: Client, keys: LineKeys, outbox: Outbox) -> None:
    entries = post(client, keys, 2)
    outbox.seal("group", ids(entries))
    outbox.failed("group", "503")
    outbox.delivered("group", ids(entries))
    assert outbox.length() == 0
    assert set(client.execute_command("HKEYS", keys.outbox(SINK).state)) == {b"error", b"error_at"}
    outbox.delivered("group", ids(entries))  # again, after a lost answer


def test_a_message_fails_since_its_first_failure_whoever_tries(client: Client, keys: LineKeys, outbox: Outbox) -> None:
    (entry,) = post(client, keys, 1)
    outbox.seal(entry.event, [entry.id])
    assert outbox.failed(entry.event, "503") == 0
    state = keys.outbox(SINK).state
    since = int(client.execute_command("HGET", state, f"since:{entry.event}"))
    client.execute_command("HSET", state, f"since:{entry.event}", since - 5_000)
    outbox.release()
    second = other(client, keys)
    assert second.take()
    assert second.failed(entry.event, "504") >= 5
    (seen,) = OutboxLetters(client, keys).look([SINK])
    assert seen.error == "504"
    assert seen.error_at > 0


def test_a_dead_letter_keeps_the_event_and_says_why_and_can_be_replayed(
    client: Client, keys: LineKeys, outbox: Outbox, letters: OutboxLetters
) -> None:
    first, second = post(client, keys, 2)
    outbox.seal(first.event, [first.id])
    outbox.bury(first.event, [first.id], "refused", "422: no such camera")
    assert list(outbox.all()) == [second]
    assert outbox.sealed() == {}
    (letter,) = letters.letters(SINK)
    assert (letter.sink, letter.reason, letter.error) == (SINK, "refused", "422: no such camera")
    assert (letter.alert["id"], letter.alert["camera"]) == (first.event, "c1")
    # Replayed, it is the same event under the same key, behind what waits
    new_id = letters.replay(SINK, letter.id)
    _, replayed = outbox.all()
    assert replayed == OutboxEntry(new_id, first.event, "c1")
    (alert,) = outbox.seal(replayed.event, [replayed.id])
    assert isinstance(alert, Alert)
    assert alert.alert_id == "c1:0"
    # And once
    with pytest.raises(StreamError, match="no dead letter"):
        letters.replay(SINK, letter.id)
    assert not letters.purge(SINK, letter.id)


def test_the_dead_letters_of_a_sink_are_bounded_and_all_are_counted(
    client: Client, keys: LineKeys, letters: OutboxLetters
) -> None:
    outbox = other(client, keys, keep=10)
    assert outbox.take()
    entries = post(client, keys, 500)
    for entry in entries:
        outbox.bury(entry.event, [entry.id], "refused", "422")
    (seen,) = letters.look([SINK])
    assert seen.buried == {"refused": 500}
    assert seen.dead < 250  # about ten: a stream is trimmed by whole nodes
    assert letters.purge(SINK, next(letters.letters(SINK)).id)


def test_an_entry_that_is_no_event_is_said_to_be_none(client: Client, keys: LineKeys, outbox: Outbox) -> None:
    client.execute_command("XADD", keys.outbox(SINK).waiting, "*", b"\xff", b"\xfe")
    (entry,) = outbox.all()
    assert (entry.event, entry.camera) == (entry.id, "")
    (error,) = outbox.seal(entry.event, [entry.id])
    assert isinstance(error, StreamError)
    outbox.bury(entry.event, [entry.id], "unreadable", str(error))
    assert outbox.length() == 0


def test_what_waits_is_seen_by_sink(client: Client, keys: LineKeys, outbox: Outbox, letters: OutboxLetters) -> None:
    assert letters.sinks() == [SINK]
    (empty,) = letters.look([SINK])
    assert (empty.waiting, empty.lag_s, empty.dead, empty.error) == (0, 0.0, 0, "")
    fields = ("event", "1-0", "camera", "c1")
    client.execute_command("XADD", keys.outbox(SINK).waiting, "1000000000000-0", *fields)
    client.execute_command("XADD", keys.outbox(SINK).waiting, "*", *fields)
    (late,) = letters.look([SINK])
    assert late.waiting == 2
    assert late.lag_s > 3_600
    assert letters.look([]) == []


def test_a_flushed_redis_is_begun_afresh(client: Client, keys: LineKeys, outbox: Outbox) -> None:
    post(client, keys, 1)
    client.execute_command("FLUSHALL")
    (entry,) = post(client, keys, 1)
    with pytest.raises(LeaseLost):
        outbox.seal(entry.event, [entry.id])
    assert outbox.take()
    assert len(outbox.seal(entry.event, [entry.id])) == 1
