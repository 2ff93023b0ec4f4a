"""Delivery to a receiver that is away, slow or picky."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence

import line
import pytest
from alert_events import alert
from prometheus_client import CollectorRegistry
from webhook_server import Receiver

from worker.alerts.sinks import Sink, Webhook
from worker.metrics import AlertMetrics
from worker.runtime.delivery import Delivery
from worker.settings import KeepSettings, Settings, WebhookSettings
from worker.stream.alerting import AlertFeed, AlertStore, Saved
from worker.stream.connection import Client, connect
from worker.stream.fields import alert_to_fields, flat_fields
from worker.types import Alert


@pytest.fixture
def feed(client: Client) -> AlertFeed:
    feed = AlertFeed(client, line.KEYS, "test")
    feed.join()
    return feed


class Calling:
    """A sink that calls a function for each event."""

    def __init__(self, function: Callable[[Alert], object]) -> None:
        self._function = function

    def deliver(self, alerts: Sequence[Alert], key: str) -> None:
        for alert in alerts:
            self._function(alert)

    def close(self) -> None:
        pass


class Delivering:
    """A delivery that runs, with a connection of its own; a context manager."""

    def __init__(self, sink: Sink, settings: Settings) -> None:
        self.stop = threading.Event()
        self._client = connect(settings)
        self.metrics = AlertMetrics(CollectorRegistry())
        feed = AlertFeed(self._client, line.KEYS, "test")
        self._delivery = Delivery("test", sink, feed, self.metrics, self.stop)

    def __enter__(self) -> Delivering:
        self._delivery.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self._delivery.join(10)
        assert not self._delivery.is_alive()
        self._client.close()

    def count(self, outcome: str) -> float:
        return self.metrics.deliveries.labels("test", outcome)._value.get()


def publish(client: Client, *numbers: int) -> list[str]:
    """Alert events on the stream; their entries' ids."""
    store = AlertStore(client, line.KEYS, KeepSettings())
    version = store.load().get("c1", Saved()).version
    told = store.commit("c1", Saved(version, ""), [], [alert(number) for number in numbers])
    assert told
    return told


def unacknowledged(client: Client) -> int:
    return int(client.execute_command("XPENDING", line.KEYS.alerts, "sink:test")[0])


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def test_a_receiver_that_is_away_delays_and_loses_nothing(client: Client, settings: Settings, feed: AlertFeed) -> None:
    with Receiver() as receiver:
        port, url = receiver.port, receiver.url
        with Delivering(Webhook(WebhookSettings(url=url)), settings) as delivering:
            before = publish(client, 0, 1)
            line.wait_until(lambda: receiver.keys == before)
            receiver.__exit__()
            missed = publish(client, 2, 3)
            line.wait_until(lambda: delivering.count("failed") > 0)
            with Receiver(port=port, answers=(503,)) as back:
                after = publish(client, 4)
                line.wait_until(lambda: back.keys == missed + after)
                line.wait_until(lambda: unacknowledged(client) == 0)


def test_a_process_that_stops_leaves_the_rest_to_the_next(client: Client, settings: Settings, feed: AlertFeed) -> None:
    taken: list[str] = []

    def takes_two(alert: Alert) -> None:
        if len(taken) == 2:
            raise OSError("full")
        taken.append(alert.id)

    ids = publish(client, 0, 1, 2, 3)
    with Delivering(Calling(takes_two), settings) as first:
        line.wait_until(lambda: first.count("failed") > 0)
    assert unacknowledged(client) == 2
    with Delivering(Calling(lambda alert: taken.append(alert.id)), settings):
        line.wait_until(lambda: taken == ids)
        line.wait_until(lambda: unacknowledged(client) == 0)


@pytest.fixture
def quick_take_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.runtime.delivery._LEFT_AFTER_MS", 3_000)
    monkeypatch.setattr("worker.runtime.delivery._TAKE_OVER_EVERY_S", 0.1)


def publish_to_another(client: Client, *numbers: int) -> list[str]:
    """Events that another process of the same sink reads at once, before anyone who waits for them."""
    moment = client.pipeline(transaction=True)
    for number in numbers:
        moment.execute_command("XADD", line.KEYS.alerts, "*", *flat_fields(alert_to_fields(alert(number))))
    moment.execute_command("XREADGROUP", "GROUP", "sink:test", "alerts", "STREAMS", line.KEYS.alerts, ">")
    *ids, _ = moment.execute()
    return [entry_id.decode() for entry_id in ids]


def test_what_a_second_process_had_in_hand_when_it_died_is_delivered(
    client: Client, settings: Settings, feed: AlertFeed, quick_take_over: None
) -> None:
    taken: list[str] = []
    with Delivering(Calling(lambda alert: taken.append(alert.id)), settings):
        first = publish(client, 0)
        line.wait_until(lambda: taken == first)
        left = publish_to_another(client, 1, 2)
        line.wait_until(lambda: taken == first + left)
        line.wait_until(lambda: unacknowledged(client) == 0)


def test_what_a_second_process_still_tries_to_deliver_is_left_to_it(
    client: Client, settings: Settings, feed: AlertFeed, quick_take_over: None
) -> None:
    taken: list[str] = []

    def away(alert: Alert) -> None:
        raise OSError("away")

    with Delivering(Calling(lambda alert: taken.append(alert.id)), settings):
        first = publish(client, 0)
        line.wait_until(lambda: taken == first)
        publish_to_another(client, 1, 2)
        with Delivering(Calling(away), settings) as trying:  # finds them at its start
            line.wait_until(lambda: trying.count("failed") == 4)
            assert taken == first
            assert unacknowledged(client) == 2


def test_an_alert_that_is_refused_does_not_hold_up_the_next(
    client: Client, settings: Settings, feed: AlertFeed, receiver: Receiver
) -> None:
    with Receiver(answers=(422,)) as picky:
        ids = publish(client, 0, 1)
        with Delivering(Webhook(WebhookSettings(url=picky.url)), settings) as delivering:
            line.wait_until(lambda: picky.keys == ids[1:])
            assert delivering.count("refused") == 1


def test_an_event_whose_acknowledgement_failed_is_not_sent_twice(
    client: Client, settings: Settings, feed: AlertFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    from worker.errors import StreamUnavailable

    real, failures = AlertFeed.acknowledge, [StreamUnavailable("gone")]

    def fails_once(self: AlertFeed, alert: Alert) -> None:
        if failures:
            raise failures.pop()
        real(self, alert)

    monkeypatch.setattr(AlertFeed, "acknowledge", fails_once)
    sent: list[str] = []
    ids = publish(client, 0)
    with Delivering(Calling(lambda alert: sent.append(alert.id)), settings):
        line.wait_until(lambda: not failures and unacknowledged(client) == 0)
    assert sent == ids


def test_a_login_that_is_refused_for_a_while_does_not_end_a_sink(
    client: Client, settings: Settings, feed: AlertFeed
) -> None:
    taken: list[str] = []
    client.execute_command("CONFIG", "SET", "requirepass", "s3cret")
    try:
        with Delivering(Calling(lambda alert: taken.append(alert.id)), settings):
            time.sleep(0.3)
            client.execute_command("CONFIG", "SET", "requirepass", "")
            ids = publish(client, 0)
            line.wait_until(lambda: taken == ids)
    finally:
        client.execute_command("CONFIG", "SET", "requirepass", "")


def test_a_new_sink_is_not_told_the_past_also_where_it_reads_before_anybody_has_joined(
    client: Client, settings: Settings
) -> None:
    publish(client, 0, 1)
    taken: list[str] = []
    with Delivering(Calling(lambda alert: taken.append(alert.id)), settings):
        line.wait_until(lambda: bool(client.execute_command("XINFO", "GROUPS", line.KEYS.alerts)))
        ids = publish(client, 2)
        line.wait_until(lambda: ids[0] in taken)
    assert taken == ids


def test_an_error_that_nobody_foresaw_does_not_end_a_sink(
    client: Client, settings: Settings, feed: AlertFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, failures = AlertFeed.read, [RuntimeError("out of order")]

    def read_at_last(self: AlertFeed) -> list[Alert]:
        if failures:
            raise failures.pop()
        return read(self)

    monkeypatch.setattr(AlertFeed, "read", read_at_last)
    taken: list[str] = []
    with Delivering(Calling(lambda alert: taken.append(alert.id)), settings):
        ids = publish(client, 0)
        line.wait_until(lambda: taken == ids)


def test_a_stop_does_not_wait_for_a_receiver_that_is_away(client: Client, settings: Settings, feed: AlertFeed) -> None:
    publish(client, 0)
    with Delivering(Webhook(WebhookSettings(url="http://127.0.0.1:9/")), settings) as delivering:
        line.wait_until(lambda: delivering.count("failed") >= 2)
        begin = time.monotonic()
    assert time.monotonic() - begin < 15  # the pause before the next try alone grows to 30 s
