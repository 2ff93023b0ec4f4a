"""The real alert process with a webhook and with e-mail, whose other side is away for a part of the time."""

from __future__ import annotations

import json
import runpy
import time
from pathlib import Path

import line
from alert_results import NG, OK
from alerting import alert_process
from mail_server import MailServer
from webhook_server import Receiver

from worker.stream.connection import Client

CLIENT = runpy.run_path(str(Path(__file__).parents[2] / "deploy" / "clients" / "alerts" / "python" / "webhook.py"))


def events(receiver: Receiver) -> list[str]:
    """The ids of the events that it has taken, each once, in the order in which they came."""
    taken = [alert["id"] for _, body in receiver.got for alert in body.get("alerts", [body])]
    return list(dict.fromkeys(taken))


def test_a_webhook_that_is_away_fails_and_is_back_gets_each_event_once_signed_and_in_order(
    client: Client, redis_url: str, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("a secret of more than two dozen bytes\n")
    with Receiver() as receiver:
        port = receiver.port
        with alert_process(tmp_path, redis_url, "webhook", url=receiver.url, secret_file=secret) as running:
            line.wait_until(lambda: line.unsettled(client) >= 0)
            line.publish(client, [(1, NG)])
            line.wait_until(lambda: len(events(receiver)) == 1)

            # Given a receiver that goes, and comes back with a gateway's and its own errors
            receiver.__exit__()
            line.publish(client, [(2, OK), (3, NG)])
            line.publish(client, [(1, NG), (2, OK)], camera="c2")
            line.wait_until(lambda: "UnreachableError" in running.log("alerts").read_text())
            with Receiver(port=port, answers=(503, 500, 500)) as back:
                line.publish(client, [(4, OK)])
                line.wait_until(lambda: len(line.alerts(client)) == 6)
                told = [event.id for event in line.alerts(client)]
                line.wait_until(lambda: set(events(receiver) + events(back)) == set(told))

                # I expect each camera's events in order, and every POST genuine
                for camera in ("c1", "c2"):
                    mine = [event.id for event in line.alerts(client) if event.camera == camera]
                    assert [one for one in events(receiver) + events(back) if one in mine] == mine
                key = CLIENT["read_secret"](secret)
                assert all(CLIENT["is_genuine"](*request, key, time.time()) for request in back.requests)
                by_key = {headers["idempotency-key"]: json.loads(body) for headers, body in back.requests}
                assert all(by_key[headers["idempotency-key"]] == json.loads(body) for headers, body in back.requests)
            assert running.stop("alerts") == 0


def test_a_mail_server_that_is_away_and_puts_off_sends_each_event_once(
    client: Client, redis_url: str, tmp_path: Path
) -> None:
    with (
        MailServer(tmp_path) as server,
        alert_process(
            tmp_path, redis_url, "email", **server.settings | {"recipients": "anna@plant.example"}
        ) as running,
    ):
        line.wait_until(lambda: line.unsettled(client) >= 0)
        line.publish(client, [(1, NG)])
        line.wait_until(lambda: len(server.mails) == 1)

        server.stop()
        line.publish(client, [(2, OK)])
        line.publish(client, [(1, NG)], camera="c2")
        line.wait_until(lambda: "UnreachableError" in running.log("alerts").read_text())
        server.answers["anna@plant.example"] = ["451 4.7.1 greylisted"]
        server.start()
        line.wait_until(lambda: len(server.mails) == 3)
        said = {(mail["Subject"], mail["Message-ID"]) for mail in server.mails}
        assert {subject for subject, _ in said} == {
            "[test] critical: c1: anomaly raised", "[test] critical: c1: anomaly cleared",
            "[test] critical: c2: anomaly raised",
        }  # fmt: skip
        assert len(said) == 3
        assert "greylisted" in running.log("alerts").read_text()
        assert running.stop("alerts") == 0
