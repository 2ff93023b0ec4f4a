"""The receivers of `deploy/clients/alerts`, with a real alert process, and for MQTT a real broker."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import httpx
import line
import pytest
from alert_results import NG, OK
from alerting import alert_process
from clients.examples import CLIENTS, Client
from mosquitto import Mosquitto
from ports import free_port

from worker.alerts.sinks.signature import sign
from worker.stream.connection import Client as Redis

SECRET = b"a secret of more than two dozen bytes"


def example(name: str) -> Client:
    return Client(name, [sys.executable, str(CLIENTS / "alerts" / "python" / f"{name}.py")])


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    file = tmp_path / "secret"
    file.write_bytes(SECRET + b"\n")
    return file


def listens(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/").status_code == 501
    except httpx.HTTPError:
        return False


def test_the_webhooks_receiver_takes_what_is_signed(
    client: Redis, redis_url: str, tmp_path: Path, secret_file: Path
) -> None:
    port = free_port()
    settings = {"url": f"http://127.0.0.1:{port}/alerts", "secret_file": secret_file}
    with (
        alert_process(tmp_path, redis_url, "webhook", **settings),
        example("webhook").follow("--secret-file", secret_file, "--port", port) as receiver,
    ):
        line.wait_until(lambda: line.unsettled(client) >= 0)
        line.publish(client, [(1, NG), (2, OK)])
        assert receiver.says("c1:anomaly:", 60).split()[1] == "raised"
        assert receiver.says("c1:anomaly:", 60).split()[1] == "cleared"


def test_the_webhooks_receiver_takes_nothing_else_and_nothing_twice(secret_file: Path) -> None:
    port = free_port()
    url, body = f"http://127.0.0.1:{port}/", b'{"alert_id": "a", "state": "raised", "message": "m"}'
    several = b'{"alerts": [' + body + b", " + body.replace(b'"a"', b'"b"') + b"]}"
    broken = b'{"alerts": [{}]}'
    with example("webhook").follow("--secret-file", secret_file, "--port", port) as receiver:
        line.wait_until(lambda: listens(port))

        def post(body: bytes, headers: dict[str, str]) -> int:
            return httpx.post(url, content=body, headers=headers).status_code

        now = int(time.time())
        genuine = sign([SECRET], "1-0", now, body)
        assert post(body, {}) == 401
        assert post(body + b" ", genuine) == 401
        assert post(body, sign([SECRET], "1-0", now - 3_600, body)) == 401
        assert post(body, genuine | {"webhook-signature": "v1,nonsense v2 ,"}) == 401
        assert post(b"x" * 1_000_001, {}) == 413
        assert post(broken, sign([SECRET], "2-0", now, broken)) == 500
        assert post(body, genuine) == post(body, genuine) == 204
        assert post(several, sign([b"old" * 9, SECRET], "3-0", now, several)) == 204
        assert [receiver.says("").split()[0] for _ in range(3)] == ["a", "a", "b"]


def test_the_mqtt_subscriber_shows_alerts_and_lamps_also_those_that_came_while_it_was_away(
    client: Redis, redis_url: str, tmp_path: Path
) -> None:
    with Mosquitto(tmp_path, free_port()) as broker:
        settings = {"url": broker.url, "password_file": broker.password_file}
        command = (broker.url, "--password-file", broker.password_file, "--line", "test")
        with alert_process(tmp_path, redis_url, "mqtt", **settings):
            line.wait_until(lambda: line.unsettled(client) >= 0)
            with example("mqtt").follow(*command) as subscriber:
                subscriber.says("line online", 60)
                line.publish(client, [(1, NG)])
                assert subscriber.says("alert c1:anomaly:", 60).split()[2] == "raised"
                subscriber.says("lamp c1 critical", 60)
            line.publish(client, [(2, OK)])
            line.wait_until(lambda: len(line.alerts(client)) == 2)
            with example("mqtt").follow(*command) as subscriber:
                assert subscriber.says("alert c1:anomaly:", 60).split()[2] == "cleared"
                subscriber.says("lamp c1 ok", 60)


def test_the_page_for_subscribers_shows_the_check_of_the_signature_as_it_is() -> None:
    page = (CLIENTS.parent / "docs" / "alerts.md").read_text()
    shown = next(block for block in page.split("```") if block.startswith("python\ndef is_genuine"))
    assert shown.removeprefix("python\n") in (CLIENTS / "alerts" / "python" / "webhook.py").read_text()
