"""The webhook: what is posted, what proves where it comes from, and what its answers mean."""

from __future__ import annotations

import base64
import runpy
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
import trustme
from alert_events import alert
from webhook_server import Receiver

from worker import __version__
from worker.alerts.sinks import Log, Webhook
from worker.alerts.sinks.create import create_sinks
from worker.alerts.sinks.signature import read_secrets, sign
from worker.errors import DeliveryError, RefusedError, SettingsError, UnreachableError
from worker.settings import AlertSettings, WebhookSettings
from worker.types import Alert, AlertKind, AlertState, Severity

CLIENT = runpy.run_path(str(Path(__file__).parents[2] / "deploy" / "clients" / "alerts" / "python" / "webhook.py"))
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


def webhook(url: str, **settings: object) -> Webhook:
    return Webhook(WebhookSettings.model_validate({"url": url} | settings))


def test_the_webhook_posts_the_fields_and_the_key() -> None:
    with Receiver() as receiver:
        webhook(receiver.url).deliver([alert()], "0-0")
    assert receiver.got == [
        (
            "0-0",
            {
                "alert_id": "c1:anomaly:0", "camera": "c1", "kind": "anomaly", "state": "raised",
                "severity": "critical", "opened_at": 1, "at": 2, "frame": "1-0", "score": 0.5, "count": 3,
                "message": "three NG", "model": "", "by": "", "note": "", "shelved": False, "id": "0-0",
            },
        )
    ]  # fmt: skip
    [(headers, _)] = receiver.requests
    assert headers["user-agent"] == f"line-worker/{__version__}"
    assert headers["content-type"] == "application/json"
    assert "authorization" not in headers
    assert not [name for name in headers if name.startswith("webhook-")]


def test_several_events_are_posted_as_one_body() -> None:
    odd = replace(alert(2), score=float("nan"), message="“quoted”\n{}")
    with Receiver() as receiver:
        webhook(receiver.url).deliver([alert(1), odd], "group")
    [(key, body)] = receiver.got
    assert key == "group"
    assert receiver.requests[0][0]["x-line-events"] == "2"
    assert [one["id"] for one in body["alerts"]] == ["1-0", "2-0"]
    assert (body["alerts"][1]["score"], body["alerts"][1]["message"]) == (None, odd.message)


@pytest.mark.parametrize("text", [SECRET, "just some words, but enough of them"])
def test_a_signature_is_what_a_receiver_works_out(text: str, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(text + "\n")
    with Receiver() as receiver:
        webhook(receiver.url, secret_file=file).deliver([alert()], "1-0")
    [(headers, body)] = receiver.requests
    assert headers["webhook-id"] == headers["idempotency-key"] == "1-0"
    secret, now = CLIENT["read_secret"](file), time.time()
    assert CLIENT["is_genuine"](headers, body, secret, now)
    # And nobody else's, none of another body, key or time, and no old one
    assert not CLIENT["is_genuine"](headers, body, b"another", now)
    assert not CLIENT["is_genuine"](headers, body + b" ", secret, now)
    assert not CLIENT["is_genuine"](headers | {"webhook-id": "2-0"}, body, secret, now)
    assert not CLIENT["is_genuine"](headers | {"webhook-timestamp": "1"}, body, secret, now)
    assert not CLIENT["is_genuine"](headers, body, secret, now + 3_600)


def test_a_message_is_signed_as_by_the_reference_libraries() -> None:
    secrets = read_secrets("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "a setting")
    assert sign(secrets, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}') == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_a_secret_is_replaced_without_a_restart_and_without_a_gap(tmp_path: Path) -> None:
    file, new = tmp_path / "secret", "whsec_" + base64.b64encode(bytes(24)).decode()
    file.write_text(SECRET)
    with Receiver() as receiver:
        sink = webhook(receiver.url, secret_file=file)
        for text in (SECRET, f"{new}\n{SECRET}\n", new):
            file.write_text(text)
            sink.deliver([alert()], "1-0")
    old, fresh = base64.b64decode(SECRET[6:]), bytes(24)
    known = [
        [CLIENT["is_genuine"](headers, body, secret, time.time()) for secret in (old, fresh)]
        for headers, body in receiver.requests
    ]
    assert known == [[True, False], [True, True], [False, True]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("whsec_" + "A" * 31, "no Base64"),
        ("whsec_AAAA", "3 bytes"),
        ("too short", "9 bytes"),
        ("\n \n", "is empty|no secret"),
        (None, "No such file"),
    ],
)
def test_a_secret_that_is_none_ends_the_start_and_is_not_repeated(text: str | None, said: str, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    if text is not None:
        file.write_text(text)
    with pytest.raises(SettingsError, match=rf"alerts\.webhook\.secret_file .*({said})") as caught:
        webhook("http://127.0.0.1:9", secret_file=file)
    assert not text or text.strip() == "" or text not in str(caught.value)


def test_a_secret_that_is_gone_later_is_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(SECRET)
    with Receiver() as receiver:
        sink = webhook(receiver.url, secret_file=file)
        file.unlink()
        with pytest.raises(UnreachableError, match="secret_file"):
            sink.deliver([alert()], "1-0")
        assert receiver.requests == []  # and nothing goes out unsigned
        file.write_text(SECRET)
        sink.deliver([alert()], "1-0")
    assert receiver.keys == ["1-0"]


def test_a_token_is_shown_and_one_that_is_no_word_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("abc.def\n")
    with Receiver() as receiver:
        webhook(receiver.url, token_file=file).deliver([alert()], "1-0")
    assert receiver.requests[0][0]["authorization"] == "Bearer abc.def"
    file.write_text("two words")
    with pytest.raises(SettingsError, match=r"alerts\.webhook\.token_file") as caught:
        webhook("http://127.0.0.1:9", token_file=file)
    assert "two words" not in str(caught.value)


@pytest.fixture
def https(tmp_path: Path) -> Iterator[Receiver]:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    with Receiver(tls=context) as receiver:
        yield receiver


def test_over_tls_an_authority_of_ones_own_is_trusted_and_no_other(https: Receiver, tmp_path: Path) -> None:
    webhook(https.url, ca_file=tmp_path / "ca.pem").deliver([alert()], "1-0")
    assert https.keys == ["1-0"]
    with pytest.raises(UnreachableError, match="CERTIFICATE_VERIFY_FAILED"):
        webhook(https.url).deliver([alert()], "2-0")
    with pytest.raises(UnreachableError, match="CERTIFICATE_VERIFY_FAILED"):
        webhook(https.url.replace("127.0.0.1", "localhost"), ca_file=tmp_path / "ca.pem").deliver([alert()], "2-0")
    assert https.keys == ["1-0"]


@pytest.mark.parametrize("status", [301, 307, 401, 403, 404, 429, 502, 503, 504])
def test_an_answer_that_any_message_would_get_holds_up_all(status: int) -> None:
    with Receiver(answers=(status,)) as receiver, pytest.raises(UnreachableError) as caught:
        webhook(receiver.url).deliver([alert()], "0-0")
    assert receiver.refused == 1
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("status", [409, 500])
def test_an_answer_that_may_be_about_this_message_holds_up_none_of_the_others(status: int) -> None:
    with Receiver(answers=(status,)) as receiver, pytest.raises(DeliveryError) as caught:
        webhook(receiver.url).deliver([alert()], "0-0")
    assert not isinstance(caught.value, RefusedError | UnreachableError)


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_an_answer_that_speaks_of_this_alert_is_a_refusal(status: int) -> None:
    with Receiver(answers=(status,)) as receiver, pytest.raises(RefusedError):
        webhook(receiver.url).deliver([alert()], "0-0")


def test_an_answer_that_repeats_the_path_is_told_without_it() -> None:
    with Receiver(answers=(404,)) as receiver, pytest.raises(DeliveryError) as caught:
        webhook(receiver.url).deliver([alert()], "0-0")
    assert "404: cannot POST ***" in str(caught.value)


def test_a_host_that_cannot_be_one_is_told_by_the_setting() -> None:
    with pytest.raises(SettingsError, match=r"alerts\.webhook\.url") as caught:
        webhook("http://999.1.1.1/s3cret")
    assert "s3cret" not in str(caught.value)


def test_nobody_there_is_told_by_name() -> None:
    with pytest.raises(UnreachableError, match=r"127\.0\.0\.1"):
        webhook("http://127.0.0.1:9/s3cret").deliver([alert()], "0-0")


def test_a_slow_receiver_is_given_up_on() -> None:
    with Receiver(delay_s=0.5) as receiver, pytest.raises(UnreachableError, match=r"within 0\.1 s"):
        webhook(receiver.url, timeout_s=0.1).deliver([alert()], "0-0")


@contextmanager
def answering(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that takes one request and answers it in its own way; its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    connection.recv(65_536)
                    answer(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    thread.join(30)
    assert not thread.is_alive()


def trickle(connection: socket.socket, begin: bytes) -> None:
    """A byte now and then for ever, each well within any time-out."""
    connection.sendall(begin)
    with suppress(OSError):
        while True:
            connection.sendall(b"x")
            time.sleep(0.05)


def flood(connection: socket.socket) -> None:
    """An error that has no end."""
    connection.sendall(b"HTTP/1.1 500 No\r\nContent-Length: 99999999999\r\n\r\n")
    with suppress(OSError):
        while True:
            connection.sendall(b"x" * 65_536)


def test_a_head_that_trickles_is_given_up_on_as_a_whole() -> None:
    with (
        answering(lambda connection: trickle(connection, b"HTTP/1.1 200 OK\r\nX-Endless: ")) as url,
        pytest.raises(UnreachableError, match="within 1 s"),
    ):
        webhook(url, timeout_s=1).deliver([alert()], "0-0")


def test_a_body_that_trickles_takes_nothing_back_from_the_status() -> None:
    def taken(connection: socket.socket) -> None:
        trickle(connection, b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n")

    with answering(taken) as url:
        webhook(url, timeout_s=1).deliver([alert()], "0-0")


def test_of_a_body_without_an_end_the_beginning_is_read() -> None:
    with answering(flood) as url, pytest.raises(DeliveryError) as caught:
        webhook(url).deliver([alert()], "0-0")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("said", [b"", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 2"])
def test_what_is_no_http_is_a_failure(said: bytes) -> None:
    with answering(lambda connection: connection.sendall(said)) as url, pytest.raises(UnreachableError):
        webhook(url).deliver([alert()], "0-0")


def test_sinks_are_those_that_the_settings_ask_for() -> None:
    assert set(create_sinks(AlertSettings(), "test", dict)) == {"log"}
    every = AlertSettings.model_validate(
        {
            "webhook": {"url": "http://x/"},
            "mqtt": {"url": "mqtt://x"},
            "email": {"host": "x", "sender": "line@x.example", "recipients": ["a@x.example"]},
        }
    )
    sinks = create_sinks(every, "test", dict)
    assert {name: sink.limited for name, sink in sinks.items()} == {
        "log": False, "webhook": True, "email": True, "mqtt": False,
    }  # fmt: skip


def test_the_log_takes_every_alert(capsys: pytest.CaptureFixture[str]) -> None:
    for state in AlertState:
        Log().deliver([Alert("a", "c1", AlertKind.LATE, state, Severity.WARNING, 1, 2, message="ten late")], "a")
    assert capsys.readouterr().out.count("ten late") == len(AlertState)
