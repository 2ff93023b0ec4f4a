"""Alerts by MQTT, with a real broker: events, retained states, who may publish, and what an outage does."""

from __future__ import annotations

import json
import os
import signal
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import line
import pytest
import trustme
from alert_events import alert
from alert_results import NG, OK
from alerting import alert_process
from mosquitto import PASSWORD, USER, Mosquitto, Subscriber
from ports import free_port
from stream.silent_proxy import SilentProxy
from system.running import RunningLine

from worker.alerts.life import OpenAlert
from worker.alerts.sinks.mqtt import LOOK_AT_MOST_S, Mqtt
from worker.errors import DeliveryError, RefusedError, SettingsError, UnreachableError
from worker.settings import MqttSettings
from worker.stream.connection import Client
from worker.types import AlertKind, AlertState

BASE = "line-worker/test"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path, free_port()) as broker:
        yield broker


@contextmanager
def sink(
    broker: Mosquitto, standing: Callable[[], dict[str, list[OpenAlert]]] = dict, **more: object
) -> Iterator[Mqtt]:
    settings = {"url": broker.url, "password_file": broker.password_file} | more
    mqtt = Mqtt(MqttSettings.model_validate(settings), "test", standing)
    mqtt.open()
    yield mqtt
    mqtt.close()


def opened(kind: AlertKind = AlertKind.ANOMALY, camera: str = "c1") -> OpenAlert:
    key = f"{camera}:{kind.value}:1-0"
    return OpenAlert(alert_id=key, camera=camera, kind=kind, opened_at=1, count=3, told_count=3, told_at=1)


def delivers(mqtt: Mqtt, number: int = 0) -> bool:
    """Whether an event was taken; tried once."""
    try:
        mqtt.deliver([alert(number)], f"{number}-0")
    except DeliveryError:
        return False
    return True


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_events_and_states_are_published_and_the_states_are_kept(broker: Mosquitto, version: str) -> None:
    stands = {"c1": [opened(AlertKind.LATE), opened()], "c2": [], "": []}
    with Subscriber(broker.port) as before, sink(broker, lambda: stands, version=version) as mqtt:
        mqtt.deliver([alert(7)], "7-0")

        line.wait_until(lambda: len(before.now) == 4 and before.ids == ["7-0"])
        assert before.topics == [f"{BASE}/camera/c1/alert"]
        assert before.events[0] | {"alert_id": "c1:anomaly:7", "id": "7-0", "state": "raised"} == before.events[0]
        with Subscriber(broker.port) as later:
            line.wait_until(lambda: len(later.now) == 4)
            assert later.now[f"{BASE}/status"] == "online"
            assert later.now[f"{BASE}/camera/c1/state"]["severity"] == "critical"
            assert [one["kind"] for one in later.now[f"{BASE}/camera/c1/state"]["alerts"]] == ["late", "anomaly"]
            for topic, camera in (("camera/c2", "c2"), ("line", "")):
                assert later.now[f"{BASE}/{topic}/state"] == {"camera": camera, "severity": None, "alerts": []}
            assert later.events == []


def test_a_state_follows_what_stands_with_no_event_to_say_so(broker: Mosquitto) -> None:
    stands = {"c1": [opened()]}
    with Subscriber(broker.port) as subscriber, sink(broker, lambda: stands):
        line.wait_until(lambda: subscriber.now.get(f"{BASE}/camera/c1/state", {}).get("severity") == "critical")
        stands["c1"] = []
        line.wait_until(lambda: subscriber.now[f"{BASE}/camera/c1/state"]["severity"] is None)


def test_a_storm_of_events_is_none_of_looks_at_every_state(broker: Mosquitto) -> None:
    looks: list[float] = []

    def standing() -> dict[str, list[OpenAlert]]:
        looks.append(time.monotonic())
        return {"c1": [opened()]}

    with sink(broker, standing) as mqtt:
        line.wait_until(lambda: delivers(mqtt))
        for number in range(1, 200):
            mqtt.deliver([alert(number)], f"{number}-0")
    assert len(looks) <= (looks[-1] - looks[0]) / LOOK_AT_MOST_S + 1


def test_a_kept_state_of_a_camera_that_is_not_known_any_more_is_taken_back(broker: Mosquitto) -> None:
    with Subscriber(broker.port) as subscriber:
        subscriber.publish(f"{BASE}/camera/gone/state", '{"severity": "critical"}')
        with sink(broker):
            line.wait_until(lambda: subscriber.now[f"{BASE}/camera/gone/state"]["severity"] is None)


def test_whoever_ends_says_so_and_for_whoever_dies_the_broker_does(
    broker: Mosquitto, tmp_path: Path, redis_url: str
) -> None:
    with Subscriber(broker.port) as subscriber:

        def says(status: str) -> None:
            line.wait_until(lambda: subscriber.now.get(f"{BASE}/status") == status)

        with process(tmp_path, broker, redis_url) as running:
            says("online")
            assert running.stop("alerts") == 0
            says("offline")
            running.start("alerts", "alerts")
            says("online")
            os.kill(running.pid("alerts"), signal.SIGKILL)
            says("offline")
            running.start("alerts", "alerts")
            says("online")


def test_of_two_processes_one_is_connected_and_the_other_follows_it(
    client: Client, redis_url: str, tmp_path: Path, broker: Mosquitto
) -> None:
    with Subscriber(broker.port) as subscriber, process(tmp_path, broker, redis_url) as running:

        def said() -> list[str]:
            return [text for topic, text in subscriber.history if topic == f"{BASE}/status"]

        line.wait_until(lambda: said() == ["online"])
        running.start("second", "alerts")
        line.publish(client, [(1, NG)])
        line.wait_until(lambda: len(subscriber.events) == 1)
        running.stop("alerts")
        line.wait_until(lambda: said() == ["online", "offline", "online"])
        line.publish(client, [(2, OK)])
        line.wait_until(lambda: len(subscriber.events) == 2)


def test_a_wrong_password_is_told_without_it_and_a_right_one_needs_no_restart(broker: Mosquitto) -> None:
    broker.password_file.write_text("a wrong one")
    with sink(broker, timeout_s=1) as mqtt:
        line.wait_until(lambda: "ot authori" in mqtt._trouble)
        with pytest.raises(UnreachableError) as caught:
            mqtt.deliver([alert()], "0-0")
        assert f"127.0.0.1:{broker.port}" in str(caught.value)
        assert "a wrong one" not in str(caught.value)
        broker.password_file.write_text(PASSWORD)
        line.wait_until(lambda: delivers(mqtt))


def test_a_broker_that_refuses_a_topic_is_heard(tmp_path: Path) -> None:
    acl = tmp_path / "acl"
    acl.write_text(f"user {USER}\ntopic write {BASE}/status\n")
    acl.chmod(0o644)
    with Mosquitto(tmp_path, free_port(), f"acl_file {acl}") as broker, sink(broker) as mqtt:
        with pytest.raises(DeliveryError, match=f"refuses {BASE}/camera/c1/alert: Not authorized") as caught:
            mqtt.deliver([alert()], "0-0")
        assert not isinstance(caught.value, UnreachableError)


def test_a_state_that_was_refused_is_told_when_the_broker_lets_us(tmp_path: Path) -> None:
    acl = tmp_path / "acl"
    acl.write_text(f"user {USER}\ntopic write {BASE}/status\ntopic read line-worker/#\n")
    acl.chmod(0o644)
    stands = {"c1": [opened()]}
    with (
        Mosquitto(tmp_path, free_port(), f"acl_file {acl}") as broker,
        Subscriber(broker.port) as subscriber,
        sink(broker, lambda: stands),
    ):
        line.wait_until(lambda: f"{BASE}/camera/c1/state" in broker.log.read_text())
        line.wait_until(lambda: subscriber.now == {f"{BASE}/status": "online"})
        acl.write_text(f"user {USER}\ntopic readwrite line-worker/#\n")
        broker.reload()
        line.wait_until(lambda: subscriber.now.get(f"{BASE}/camera/c1/state", {}).get("severity") == "critical")
        assert [text for topic, text in subscriber.history if topic == f"{BASE}/status"] == ["online"]


def test_a_name_that_is_no_part_of_a_topic_is_refused(broker: Mosquitto) -> None:
    with sink(broker) as mqtt:
        for camera in ("a/b", "+", "#", "x" * 65):
            with pytest.raises(RefusedError):
                mqtt.deliver([replace(alert(), camera=camera)], "0-0")


@pytest.fixture
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls_broker(tmp_path: Path, ca: trustme.CA) -> Iterator[Mosquitto]:
    """One that asks for our certificate too."""
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    server, ours = ca.issue_cert("127.0.0.1"), ca.issue_cert("line@plant.example")
    for name, certificate in (("server", server), ("ours", ours)):
        certificate.cert_chain_pems[0].write_to_path(tmp_path / f"{name}.pem")
        certificate.private_key_pem.write_to_path(tmp_path / f"{name}.key")
        (tmp_path / f"{name}.key").chmod(0o644)
    files = ("cafile", "ca.pem"), ("certfile", "server.pem"), ("keyfile", "server.key")
    options = [f"{name} {tmp_path / file}" for name, file in files] + ["require_certificate true"]
    with Mosquitto(tmp_path, free_port(), *options) as broker:
        yield broker


def tls_settings(broker: Mosquitto, folder: Path) -> dict[str, object]:
    files = {"ca_file": folder / "ca.pem", "cert_file": folder / "ours.pem", "key_file": folder / "ours.key"}
    return files | {"url": broker.url.replace("mqtt:", "mqtts:")}


def test_over_tls_both_sides_show_their_certificates(tls_broker: Mosquitto, tmp_path: Path) -> None:
    context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    context.load_cert_chain(tmp_path / "ours.pem", tmp_path / "ours.key")
    settings = tls_settings(tls_broker, tmp_path)
    with Subscriber(tls_broker.port, context) as subscriber, sink(tls_broker, **settings) as mqtt:
        mqtt.deliver([alert()], "0-0")
        line.wait_until(lambda: subscriber.ids == ["0-0"])


@pytest.mark.parametrize("wrong", ["no authority", "another host", "no certificate of ours"])
def test_tls_that_proves_nothing_is_no_connection(tls_broker: Mosquitto, tmp_path: Path, wrong: str) -> None:
    settings = tls_settings(tls_broker, tmp_path)
    if wrong == "no authority":
        del settings["ca_file"]
    elif wrong == "another host":
        settings["url"] = str(settings["url"]).replace("127.0.0.1", "localhost")
    else:
        del settings["cert_file"], settings["key_file"]
    with sink(tls_broker, timeout_s=1, **settings) as mqtt, pytest.raises(UnreachableError):
        mqtt.deliver([alert()], "0-0")


def test_files_that_are_wrong_from_the_start_end_the_start(broker: Mosquitto, tmp_path: Path) -> None:
    with (
        pytest.raises(SettingsError, match=r"alerts\.mqtt\.password_file .*No such file"),
        sink(broker, password_file=tmp_path / "none"),
    ):
        pass
    with (
        pytest.raises(SettingsError, match=r"alerts\.mqtt\.ca_file .*not the PEM file"),
        sink(broker, url="mqtts://127.0.0.1", password_file=None, ca_file=broker.password_file),
    ):
        pass


def process(
    folder: Path, broker: Mosquitto, redis_url: str, port: int = 0, **settings: object
) -> AbstractContextManager[RunningLine]:
    """`line-worker alerts` with this broker, by another port where one is given."""
    url = f"mqtt://{USER}@127.0.0.1:{port or broker.port}"
    return alert_process(folder, redis_url, "mqtt", url=url, password_file=broker.password_file, **settings)


def test_a_broker_that_is_killed_and_forgets_all_gets_each_event_and_every_state(
    client: Client, redis_url: str, tmp_path: Path, broker: Mosquitto
) -> None:
    with (
        SilentProxy(broker.port) as network,
        Subscriber(broker.port) as subscriber,
        process(tmp_path, broker, redis_url, urlsplit(network.url).port or 0),
    ):
        line.wait_until(lambda: line.unsettled(client) >= 0)
        line.publish(client, [(1, NG)])
        line.publish(client, [(1, OK)], camera="c2")
        line.wait_until(lambda: len(subscriber.events) == 1)
        line.wait_until(lambda: f"{BASE}/camera/c2/state" in subscriber.now)

        # Given a broker that dies and comes back with nothing, while the line goes on
        broker.kill()
        line.publish(client, [(2, OK), (3, NG), (4, OK)])
        line.publish(client, [(2, NG)], camera="c2")
        line.wait_until(lambda: len(line.alerts(client)) == 5)
        network.fall_silent()  # so that the subscriber is back first: what it is not there for is not ours to keep
        subscriber.now.clear()
        broker.start()
        subscriber.wait_for_return()
        network.speak()

        # I expect every event at last, and the states as they are now
        told = {event.id for event in line.alerts(client)}
        line.wait_until(lambda: set(subscriber.ids) == told)
        line.wait_until(lambda: len(subscriber.now) >= 4)
        assert subscriber.now[f"{BASE}/status"] == "online"
        assert subscriber.now[f"{BASE}/camera/c1/state"]["severity"] is None
        assert subscriber.now[f"{BASE}/camera/c2/state"]["severity"] == "critical"


def test_a_network_that_swallows_everything_is_noticed_and_waited_out(
    client: Client, redis_url: str, tmp_path: Path, broker: Mosquitto
) -> None:
    with (
        SilentProxy(broker.port) as network,
        Subscriber(broker.port) as subscriber,
        process(tmp_path, broker, redis_url, urlsplit(network.url).port or 0, timeout_s=1) as running,
    ):
        line.wait_until(lambda: line.unsettled(client) >= 0)
        line.publish(client, [(1, NG)])
        line.wait_until(lambda: len(subscriber.events) == 1)
        network.fall_silent()
        line.publish(client, [(2, OK)])
        line.wait_until(lambda: "no acknowledgement within 1 s" in running.log("alerts").read_text())
        network.speak()
        line.wait_until(lambda: {event["state"] for event in subscriber.events} == {"raised", "cleared"})
        line.wait_until(lambda: subscriber.now[f"{BASE}/camera/c1/state"]["severity"] is None)


def test_what_changed_while_the_process_was_away_is_seen_when_it_is_back(
    client: Client, redis_url: str, tmp_path: Path, broker: Mosquitto
) -> None:
    with Subscriber(broker.port) as subscriber, process(tmp_path, broker, redis_url) as running:
        line.wait_until(lambda: line.unsettled(client) >= 0)
        line.publish(client, [(1, NG)])
        line.wait_until(lambda: subscriber.now.get(f"{BASE}/camera/c1/state", {}).get("severity") == "critical")
        os.kill(running.pid("alerts"), signal.SIGKILL)
        line.wait_until(lambda: subscriber.now[f"{BASE}/status"] == "offline")
        client.flushall()  # and nobody knows the camera any more
        running.start("alerts", "alerts")
        line.wait_until(lambda: subscriber.now[f"{BASE}/status"] == "online")
        line.wait_until(lambda: subscriber.now[f"{BASE}/camera/c1/state"]["severity"] is None)


def test_what_is_published_is_json_with_one_event_each(broker: Mosquitto) -> None:
    with Subscriber(broker.port) as subscriber, sink(broker) as mqtt:
        mqtt.deliver(
            [alert(1), replace(alert(2), camera="", kind=AlertKind.BACKLOG), replace(alert(3), score=float("nan"))], "k"
        )
        line.wait_until(lambda: subscriber.ids == ["1-0", "2-0", "3-0"])
        assert subscriber.topics[1] == f"{BASE}/line/alert"
        assert subscriber.events[2]["score"] is None
        assert json.dumps(subscriber.events[0]["state"]) == json.dumps(AlertState.RAISED.value)
