"""Delivery to a sink that is away, slow or picky, by processes that come and go."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import line
import pytest
import redis
from delivering import Calling, Delivering, letters, post, waiting
from line_settings import settings_for
from ports import free_port
from redis_servers import SentinelTrio, Server
from webhook_server import Receiver

from worker.alerts.sinks import Webhook
from worker.errors import DeliveryError, RefusedError, StreamUnavailable, UnreachableError
from worker.settings import Settings, WebhookSettings
from worker.stream.connection import Client, connect
from worker.stream.outbox import Outbox, OutboxEntry
from worker.stream.outbox_letters import OutboxLetters
from worker.types import Alert

CAMERAS = ("c1", "c2", "c3", "")


def webhook(url: str, timeout_s: float = 5.0) -> Webhook:
    return Webhook(WebhookSettings(url=url, timeout_s=timeout_s))


def until_taken(do: Callable[[], Any]) -> Any:
    """What this gives, once Redis takes it."""
    while True:
        with suppress(StreamUnavailable, redis.RedisError):
            return do()


def refuse_bad(alerts: Sequence[Alert], _key: str) -> None:
    if any(one.camera == "bad" for one in alerts):
        raise RefusedError("422")


# A sink that is away, slow or hangs.


def test_a_receiver_that_is_away_gets_everything_once_and_in_order_when_it_is_back(
    client: Client, settings: Settings
) -> None:
    with Receiver() as receiver:
        port, url = receiver.port, receiver.url
        with Delivering(webhook(url), settings, max_per_minute=0) as delivering:
            before = post(client, "c1", "c2")
            line.wait_until(lambda: receiver.keys == before)
            receiver.__exit__()
            missed = post(client, *CAMERAS * 50)
            line.wait_until(lambda: delivering.count("failed") > 1)
            with Receiver(port=port, answers=(503,)) as back:
                after = post(client, *CAMERAS)
                line.wait_until(lambda: waiting(client) == 0)
    assert sorted(back.keys) == sorted(missed + after)
    assert len(set(back.keys)) == len(back.keys)
    for camera in CAMERAS:
        times = [tuple(map(int, key.split("-"))) for key, body in back.got if body["camera"] == camera]
        assert times == sorted(times)


def test_a_slow_sink_does_not_slow_another(client: Client, settings: Settings) -> None:
    go_on = threading.Event()
    slow, quick = Calling(lambda *_: go_on.wait(60)), Calling()
    with Delivering(slow, settings, "slow"), Delivering(quick, settings, "quick"):
        ids = post(client, *CAMERAS * 10, sinks=["slow", "quick"])
        line.wait_until(lambda: quick.keys == ids)
        assert slow.keys == []
        go_on.set()
        line.wait_until(lambda: slow.keys == ids)


def test_a_stop_does_not_wait_for_a_sink_that_is_away(client: Client, settings: Settings) -> None:
    def away(*_: object) -> None:
        raise UnreachableError("no connection")

    post(client, "c1")
    sink = Calling(away)
    with Delivering(sink, settings) as delivering:
        line.wait_until(lambda: delivering.count("failed") >= 3)  # the pause before the next try grows to 30 s
    assert not sink.is_open
    assert not client.execute_command("EXISTS", line.KEYS.outbox("test").lease)


def test_only_one_message_is_tried_while_the_sink_is_away(client: Client, settings: Settings) -> None:
    tried: list[str] = []

    def away(_alerts: Sequence[Alert], key: str) -> None:
        tried.append(key)
        raise UnreachableError("no connection")

    ids = post(client, *CAMERAS * 10)
    with Delivering(Calling(away), settings):
        line.wait_until(lambda: len(tried) == 3)
    assert set(tried) <= set(ids[:4])  # the oldest of each camera, one after the other


# A message that is not wanted.


def test_a_camera_whose_event_fails_does_not_hold_up_the_others(client: Client, settings: Settings) -> None:
    mended = threading.Event()

    def fails(alerts: Sequence[Alert], _key: str) -> None:
        if alerts[0].camera == "bad" and not mended.is_set():
            raise DeliveryError("500")

    sink = Calling(fails)
    ids = post(client, *["bad", "good"] * 20)
    with Delivering(sink, settings) as delivering:
        line.wait_until(lambda: sink.of("good") == ids[1::2])
        line.wait_until(lambda: delivering.count("failed") >= 2)
        assert sink.of("bad") == []
        mended.set()
        line.wait_until(lambda: sink.of("bad") == ids[::2])
    assert letters(client) == []


def test_an_event_that_is_refused_is_a_dead_letter_at_once_and_can_be_replayed(
    client: Client, settings: Settings
) -> None:
    with Receiver(answers=(422,)) as picky:
        ids = post(client, "c1", "c1")
        with Delivering(webhook(picky.url), settings) as delivering:
            line.wait_until(lambda: picky.keys == ids[1:])
            assert delivering.count("refused") == 1
            (letter,) = letters(client)
            assert (letter.reason, letter.alert["id"]) == ("refused", ids[0])
            assert "422" in letter.error
            OutboxLetters(client, line.KEYS).replay("test", letter.id)
            line.wait_until(lambda: picky.keys == [ids[1], ids[0]])


def test_an_event_that_failed_for_too_long_is_a_dead_letter_and_the_next_one_goes_on(
    client: Client, settings: Settings
) -> None:
    ids: list[str] = []

    def fails(_alerts: Sequence[Alert], key: str) -> None:
        if key == ids[0]:
            raise DeliveryError("500")

    ids += post(client, "c1", "c1")
    sink = Calling(fails)
    with Delivering(sink, settings, give_up_after_s=0.3) as delivering:
        line.wait_until(lambda: sink.keys == ids[1:])
        assert delivering.count("gave_up") == 1
    assert [(letter.reason, letter.alert["id"]) for letter in letters(client)] == [("gave_up", ids[0])]


def test_of_a_group_that_is_refused_only_the_event_that_is_meant_is_a_dead_letter(
    client: Client, settings: Settings
) -> None:
    ids = post(client, *["good"] * 10, "bad", *["good"] * 10)
    sink = Calling(refuse_bad, limited=True)
    with Delivering(sink, settings, max_per_minute=20) as delivering:
        line.wait_until(lambda: len(letters(client)) == 1)
        assert delivering.count("refused") == 1
    assert letters(client)[0].alert["id"] == ids[10]


def test_of_a_group_that_fails_again_and_again_only_one_event_holds_up_its_camera(
    client: Client, settings: Settings
) -> None:
    def fails(alerts: Sequence[Alert], _key: str) -> None:
        if any(one.camera == "bad" for one in alerts):
            raise DeliveryError("500")

    ids = post(client, *["bad", "good"] * 10)
    sink = Calling(fails, limited=True)
    with Delivering(sink, settings, max_per_minute=15):
        line.wait_until(lambda: sink.of("good") == ids[1::2])
    assert waiting(client) == 10
    assert letters(client) == []


def test_what_is_no_event_is_a_dead_letter(client: Client, settings: Settings) -> None:
    client.execute_command("XADD", line.KEYS.outbox("test").waiting, "*", "hello", "world")
    client.execute_command("XADD", line.KEYS.outbox("test").waiting, "*", "camera", b"\xff", "event", "1-0")
    ids = post(client, "c1", "")
    sink = Calling()
    with Delivering(sink, settings):
        line.wait_until(lambda: sink.keys == ids and waiting(client) == 0)
    assert [letter.reason for letter in letters(client)] == ["unreadable", "unreadable"]


def test_an_event_that_somebody_took_off_the_outbox_is_passed_over(client: Client, settings: Settings) -> None:
    go_on = threading.Event()
    sink = Calling(lambda *_: go_on.wait(60))
    with Delivering(sink, settings, "test"):
        ids = post(client, "c1", "c1", "c1")
        line.wait_until(lambda: bool(client.execute_command("HLEN", line.KEYS.outbox("test").state)))
        line.wait_until(lambda: waiting(client) == 3)
        entry = client.execute_command("XRANGE", line.KEYS.outbox("test").waiting, "-", "+")[1][0]
        client.execute_command("XDEL", line.KEYS.outbox("test").waiting, entry)
        go_on.set()
        line.wait_until(lambda: sink.keys == [ids[0], ids[2]])


def test_too_many_events_are_dead_letters_and_the_rest_is_delivered(client: Client, settings: Settings) -> None:
    ids = post(client, *["c1"] * 30, most=10)
    sink = Calling()
    with Delivering(sink, settings):
        line.wait_until(lambda: sink.keys == ids[20:])
    assert [letter.alert["id"] for letter in letters(client)] == ids[:20]
    assert {letter.reason for letter in letters(client)} == {"overflow"}


# Many at once.


def test_a_storm_comes_in_few_messages_and_loses_nothing(client: Client, settings: Settings) -> None:
    ids = post(client, *CAMERAS * 250)
    with Receiver() as receiver, Delivering(webhook(receiver.url), settings, max_per_minute=30, group_max=100):
        line.wait_until(lambda: waiting(client) == 0)
        bodies = [body.get("alerts", [body]) for _, body in receiver.got]
    assert len(bodies) <= 15
    assert [event["id"] for body in bodies for event in body] == ids
    assert max(map(len, bodies)) == 100


def test_a_sink_without_a_limit_gets_a_storm_event_by_event(client: Client, settings: Settings) -> None:
    ids = post(client, *CAMERAS * 50)
    sink = Calling()
    with Delivering(sink, settings, max_per_minute=1):
        line.wait_until(lambda: sink.got == [(event, [event]) for event in ids])


# Processes that come and go.


def test_a_process_that_stops_leaves_the_rest_to_the_next(client: Client, settings: Settings) -> None:
    first, second = Calling(), Calling()

    def takes_two(*_: object) -> None:
        if len(first.got) == 2:
            raise UnreachableError("full")

    first = Calling(takes_two)
    ids = post(client, "c1", "c1", "c1", "c1")
    with Delivering(first, settings) as delivering:
        line.wait_until(lambda: delivering.count("failed") > 0)
    assert waiting(client) == 2
    with Delivering(second, settings):
        line.wait_until(lambda: first.keys + second.keys == ids)
        line.wait_until(lambda: waiting(client) == 0)


def test_a_second_process_stands_by_and_goes_on_when_the_first_ends(client: Client, settings: Settings) -> None:
    first, second = Calling(), Calling()
    with Delivering(first, settings) as ending:
        line.wait_until(lambda: bool(client.execute_command("EXISTS", line.KEYS.outbox("test").lease)))
        with Delivering(second, settings):
            before = post(client, *CAMERAS)
            line.wait_until(lambda: first.keys == before)
            assert second.keys == []
            ending.stop.set()
            after = post(client, *CAMERAS)
            line.wait_until(lambda: (first.keys + second.keys)[len(before) :] == after)


def test_what_was_in_flight_at_a_death_goes_again_as_the_same_message(client: Client, settings: Settings) -> None:
    # Given a process that has sent a group, and hears no answer
    hanging, sent = threading.Event(), list[tuple[str, list[str]]]()

    def hangs(alerts: Sequence[Alert], key: str) -> None:
        sent.append((key, [one.id for one in alerts]))
        hanging.wait(60)

    ids = post(client, *CAMERAS * 5)
    second = Calling(limited=True)
    with Delivering(Calling(hangs, limited=True), settings, max_per_minute=5, group_max=7):
        line.wait_until(lambda: len(sent) == 1)
        # When its lease runs out, and another process would group otherwise
        client.execute_command("DEL", line.KEYS.outbox("test").lease)
        with Delivering(second, settings, max_per_minute=4, group_max=9):
            line.wait_until(lambda: waiting(client) == 0)
            # Then the first message is the very same, and what the dead one still hears changes nothing
            hanging.set()
    assert second.got[0] == sent[0]
    assert [event for _, events in second.got for event in events] == ids


def test_a_single_event_in_flight_at_a_death_is_in_no_group_of_the_next_process(
    client: Client, settings: Settings
) -> None:
    hanging = threading.Event()
    (single,) = post(client, "c1")
    first, second = Calling(lambda *_: hanging.wait(60), limited=True), Calling(limited=True)
    with Delivering(first, settings):
        line.wait_until(lambda: bool(client.execute_command("HLEN", line.KEYS.outbox("test").state)))
        more = post(client, *["c1"] * 20)
        client.execute_command("DEL", line.KEYS.outbox("test").lease)
        with Delivering(second, settings, max_per_minute=5):
            line.wait_until(lambda: len(second.events) == 21)
            hanging.set()
    assert second.got[0] == (single, [single])
    assert second.got[1][1] == more


def test_an_event_whose_acknowledgement_failed_is_not_sent_twice(
    client: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, failures = Outbox.delivered, [StreamUnavailable("gone")]

    def fails_once(self: Outbox, key: str, ids: Sequence[str]) -> None:
        if failures:
            raise failures.pop()
        real(self, key, ids)

    monkeypatch.setattr(Outbox, "delivered", fails_once)
    sink = Calling()
    ids = post(client, "c1", "c1")
    with Delivering(sink, settings):
        line.wait_until(lambda: waiting(client) == 0)
    assert sink.keys == ids


# Redis in trouble.


def test_a_redis_that_is_killed_and_comes_back_loses_nothing(tmp_path: Path) -> None:
    port = free_port()
    options = ("--port", str(port), "--dir", str(tmp_path / "redis"), "--appendonly", "yes", "--appendfsync", "always")
    server = Server(tmp_path / "redis", port, *options)
    server.start()
    client = connect(settings_for(f"redis://127.0.0.1:{port}"))
    sink = Calling(limited=True)
    try:
        with Delivering(sink, settings_for(f"redis://127.0.0.1:{port}"), max_per_minute=300, group_max=5):
            ids = post(client, *CAMERAS * 100)
            line.wait_until(lambda: len(sink.got) > 5)
            server.kill()
            server.start()
            ids += post(client, *CAMERAS)
            line.wait_until(lambda: waiting(client) == 0)
    finally:
        server.kill()
        server.client.close()
        client.close()
    # A message may come twice where its end was not written, and then as it was
    assert [event for _, events in dict(sink.got).items() for event in events] == ids


def test_a_redis_that_fails_over_goes_on_with_the_same_messages() -> None:
    sink = Calling(limited=True)
    with SentinelTrio() as trio:
        client = connect(settings_for(trio.url))
        settings = settings_for(trio.url, redis__wait_replicas=2)
        with Delivering(sink, settings, max_per_minute=300, group_max=5):
            post(client, *CAMERAS * 100)
            line.wait_until(lambda: len(sink.got) > 5)
            trio.failover()
            until_taken(lambda: post(client, *CAMERAS))
            line.wait_until(lambda: until_taken(lambda: waiting(client)) == 0)
            told = [event.id for event in until_taken(lambda: line.alerts(client))]
        client.close()
    # A message may come twice where its end was lost, and then as it was
    messages: dict[str, list[str]] = {}
    for key, events in sink.got:
        assert messages.setdefault(key, events) == events
    assert [event for events in messages.values() for event in events] == told
    assert len(told) >= 404


def test_a_redis_that_is_flushed_is_begun_afresh(client: Client, settings: Settings) -> None:
    sink = Calling()
    with Delivering(sink, settings):
        before = post(client, "c1")
        line.wait_until(lambda: sink.keys == before)
        client.execute_command("FLUSHALL")
        after = post(client, "c1", "c2")
        line.wait_until(lambda: sink.keys == before + after)


def test_a_login_that_is_refused_for_a_while_does_not_end_a_sink(client: Client, settings: Settings) -> None:
    sink = Calling()
    client.execute_command("CONFIG", "SET", "requirepass", "s3cret")
    try:
        with Delivering(sink, settings):
            line.wait_until(lambda: b"errorstat_NOAUTH" in client.execute_command("INFO", "errorstats"))
            client.execute_command("CONFIG", "SET", "requirepass", "")
            ids = post(client, "c1")
            line.wait_until(lambda: sink.keys == ids)
    finally:
        client.execute_command("CONFIG", "SET", "requirepass", "")


def test_an_error_that_nobody_foresaw_does_not_end_a_sink(
    client: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, failures = Outbox.read, [RuntimeError("out of order")]

    def read_at_last(self: Outbox, after: str, block_ms: int) -> list[OutboxEntry]:
        if failures:
            raise failures.pop()
        return real(self, after, block_ms)

    monkeypatch.setattr(Outbox, "read", read_at_last)
    sink = Calling()
    with Delivering(sink, settings):
        ids = post(client, "c1")
        line.wait_until(lambda: sink.keys == ids)
