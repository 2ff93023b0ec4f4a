"""Alerts by e-mail, with a real mail server: what a mail says, who may send it, and what each answer means."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from alert_events import alert
from mail_server import PASSWORD, MailServer

from worker.alerts.sinks import Email
from worker.errors import DeliveryError, RefusedError, SettingsError, UnreachableError
from worker.settings import EmailSettings
from worker.types import Alert, AlertKind, AlertState, Severity

ANNA, BERT = "anna@plant.example", "bert@plant.example"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MailServer]:
    with MailServer(tmp_path) as server:
        yield server


def email(server: MailServer, **more: object) -> Email:
    return Email(EmailSettings.model_validate(server.settings | more), "press-4")


def fails(sink: Email, kind: type[DeliveryError] = UnreachableError, key: str = "1-0") -> str:
    """What a delivery says that must fail in just this way."""
    with pytest.raises(DeliveryError) as caught:
        sink.deliver([alert()], key)
    assert type(caught.value) is kind
    assert PASSWORD not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


RAISED = Alert(
    "left:anomaly:1700000000000-0", "left", AlertKind.ANOMALY, AlertState.RAISED, Severity.CRITICAL,
    1_700_000_000_000_000_000, 1_700_000_060_000_000_000, frame="1700000000000-0", score=0.0321, count=3,
    message="left: 3 of the last 5 results are NG (score 0.0321, threshold 0.01)", model="tiles 3", id="1-0",
)  # fmt: skip


@pytest.mark.usefixtures("in_berlin")
def test_a_mail_says_what_where_since_when_and_what_to_do(server: MailServer) -> None:
    email(server).deliver([RAISED], "1-0")
    [mail] = server.mails
    assert mail["Subject"] == "[press-4] critical: left: anomaly raised"
    assert (mail["From"], mail["To"]) == ("line@plant.example", f"{ANNA}, {BERT}")
    assert (mail["Importance"], mail["Auto-Submitted"]) == ("high", "auto-generated")
    text = mail.get_content()
    for part in (
        RAISED.message, "2023-11-14 23:13:20 CET (22:13:20 UTC)", "2023-11-14 23:14:20 CET", "0.0321", "tiles 3",
        "line-worker alerts acknowledge left:anomaly:1700000000000-0 --line press-4",
        "line-worker alerts shelve --camera left --kind anomaly --for 2h --line press-4",
    ):  # fmt: skip
        assert part in text
    assert server.sent_to == [[ANNA, BERT]]


def test_of_the_whole_line_a_mail_says_so(server: MailServer) -> None:
    worker = replace(RAISED, camera="", kind=AlertKind.WORKER_DOWN, alert_id="line:worker_down:host:cpu:0 $(x):1")
    email(server).deliver([worker], "1-0")
    [mail] = server.mails
    assert mail["Subject"] == "[press-4] critical: the line: worker_down raised"
    assert "acknowledge 'line:worker_down:host:cpu:0 $(x):1' --line" in mail.get_content()  # a shell takes it as it is


def test_mails_of_one_alert_belong_together_and_a_repeated_one_is_known(server: MailServer) -> None:
    sink = email(server)
    sink.deliver([RAISED], "1-0")
    sink.deliver([RAISED], "1-0")
    sink.deliver([replace(RAISED, state=AlertState.CLEARED)], "2-0")
    sink.deliver([replace(RAISED, alert_id="another")], "3-0")
    first, again, cleared, other = server.mails
    assert first["Message-ID"] == again["Message-ID"] != cleared["Message-ID"]
    assert first["References"] == cleared["References"] == cleared["In-Reply-To"] != other["References"]
    assert first["Message-ID"].endswith("@plant.example>")


def test_several_events_are_one_mail_with_all_of_them(server: MailServer) -> None:
    events = [replace(alert(number), camera=f"c{number}", alert_id=f"id-{number}") for number in range(30)]
    events[3] = replace(events[3], state=AlertState.CLEARED)
    email(server).deliver(events, "group")
    [mail] = server.mails
    assert mail["Subject"] == "[press-4] critical: 30 alerts: 29 raised, 1 cleared"
    lines = [line.strip() for line in mail.get_content().splitlines()]
    assert [line for line in lines if line.startswith("id-")] == [f"id-{number}" for number in range(30)]


def test_only_the_wanted_events_are_mailed(server: MailServer) -> None:
    sink = email(server, min_severity="critical", states="raised,acknowledged")
    unwanted = [
        replace(RAISED, state=AlertState.UPDATED), replace(RAISED, state=AlertState.CLEARED),
        replace(RAISED, severity=Severity.WARNING),
    ]  # fmt: skip
    sink.deliver(unwanted, "1-0")
    assert server.mails == []
    sink.deliver([*unwanted, replace(RAISED, state=AlertState.ACKNOWLEDGED, by="Anna", note="on my way")], "2-0")
    [mail] = server.mails
    assert mail["Subject"] == "[press-4] critical: left: anomaly acknowledged"
    assert "Anna" in mail.get_content()
    assert "on my way" in mail.get_content()


def test_nothing_in_an_event_becomes_a_header_or_steers_a_terminal(server: MailServer) -> None:
    evil = "x\r\nBcc: eve@evil.example\r\n\r\n.\r\nQUIT\r\n\x1b[2J"
    hostile = replace(RAISED, message=evil, camera=evil, alert_id=evil, model=evil, frame=evil, by=evil, note=evil)
    email(server).deliver([hostile], evil)
    email(server).deliver([hostile, hostile], evil)
    for mail in server.mails:
        assert "Bcc" not in mail
        assert "\x1b" not in mail.as_string()
        assert "\n.\n" not in mail.get_content()
    assert server.sent_to == [[ANNA, BERT]] * 2


def test_words_of_any_language_and_long_lines_arrive(server: MailServer) -> None:
    message = "Kratzer auf der Oberfläche – 傷 " + "x" * 3_000
    email(server).deliver([replace(RAISED, message=message)], "1-0")
    assert message in server.mails[0].get_content()
    assert max(len(line) for line in server.mails[0].as_bytes().splitlines()) < 998


@pytest.mark.parametrize("ns", [0, -(10**30), 10**30])
def test_a_time_that_nobody_lived_in_keeps_no_mail_from_going(server: MailServer, ns: int) -> None:
    email(server).deliver([replace(RAISED, opened_at=ns)], "1-0")
    assert len(server.mails) == 1


@pytest.mark.parametrize("secure", ["starttls", "tls", "none"])
def test_each_way_of_securing_is_spoken(tmp_path: Path, secure: str) -> None:
    with MailServer(tmp_path, secure) as server:
        email(server).deliver([RAISED], "1-0")
        assert len(server.mails) == 1
        assert server.logins == (secure != "none")


@pytest.mark.parametrize("secure", ["starttls", "tls"])
def test_a_server_that_is_not_trusted_gets_neither_mail_nor_password(tmp_path: Path, secure: str) -> None:
    with MailServer(tmp_path, secure) as server:
        assert "CERTIFICATE_VERIFY_FAILED" in fails(email(server, ca_file=None))
        assert "CERTIFICATE_VERIFY_FAILED" in fails(email(server, host="localhost"))
        assert (server.mails, server.logins) == ([], 0)


def test_a_server_without_starttls_gets_neither_mail_nor_password(tmp_path: Path) -> None:
    with MailServer(tmp_path, "none") as server:
        login = {"username": "line", "password_file": server.password_file, "ca_file": server.ca_file}
        assert "STARTTLS" in fails(email(server, security="starttls", **login))
        assert (server.mails, server.logins) == ([], 0)


def test_a_wrong_password_is_waited_out_and_a_new_one_needs_no_restart(server: MailServer) -> None:
    server.password_file.write_text("another one")
    sink = email(server)
    assert "535" in fails(sink)
    server.password_file.unlink()
    assert "No such file" in fails(sink)
    server.password_file.write_text(PASSWORD)
    sink.deliver([RAISED], "1-0")
    assert len(server.mails) == 1


def test_a_file_that_is_wrong_from_the_start_ends_the_start(server: MailServer, tmp_path: Path) -> None:
    for name in ("password_file", "ca_file"):
        with pytest.raises(SettingsError, match=rf"alerts\.email\.{name} .*No such file"):
            email(server, **{name: tmp_path / "none"})


def test_a_server_that_is_away_is_waited_for(server: MailServer) -> None:
    sink = email(server)
    server.stop()
    assert f"127.0.0.1:{server.port}" in fails(sink)
    server.start()
    sink.deliver([RAISED], "1-0")
    assert len(server.mails) == 1


def test_a_server_that_says_nothing_is_given_up_on(server: MailServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert "timed out" in fails(email(server, port=silent.getsockname()[1], timeout_s=0.2))


@contextmanager
def endless(say: Callable[[socket.socket], object]) -> Iterator[int]:
    """The port of a server that greets everybody with `say`, again and again."""

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection = listening.accept()[0]
                with connection, suppress(OSError):
                    while True:
                        say(connection)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, daemon=True).start()
        yield listening.getsockname()[1]


def test_an_answer_that_trickles_is_given_up_on(server: MailServer) -> None:
    def trickle(connection: socket.socket) -> None:
        connection.sendall(b"2")
        time.sleep(0.05)

    with endless(trickle) as port:
        assert "no whole answer within 0.5 s" in fails(email(server, port=port, timeout_s=0.5))


def test_an_answer_that_never_ends_does_not_fill_the_memory(server: MailServer) -> None:
    with endless(lambda connection: connection.sendall(b"220-come in\r\n" * 1_000)) as port:
        assert "Connection unexpectedly closed" in fails(email(server, port=port, timeout_s=60))


def test_a_recipient_who_is_put_off_gets_it_later_and_the_others_once(server: MailServer) -> None:
    server.answers[BERT] = ["451 4.7.1 greylisted, try again later"] * 2
    sink = email(server)
    for _ in range(2):
        assert "greylisted" in fails(sink, DeliveryError)
    sink.deliver([alert()], "1-0")
    assert server.sent_to == [[ANNA], [BERT]]
    assert len({mail["Message-ID"] for mail in server.mails}) == 1
    sink.deliver([alert()], "2-0")
    assert server.sent_to[2] == [ANNA, BERT]


def test_one_wrong_recipient_keeps_it_from_none_of_the_others(
    server: MailServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answers[ANNA] = ["550 5.1.1 no such user"]
    email(server).deliver([alert()], "1-0")
    assert server.sent_to == [[BERT]]
    assert "no such user" in capsys.readouterr().out


def test_what_no_recipient_may_get_is_refused(server: MailServer) -> None:
    server.answers = {ANNA: ["550 5.1.1 no such user"], BERT: ["451 later", "550 5.1.1 no such user"]}
    sink = email(server)
    assert "later" in fails(sink, DeliveryError)
    assert "no such user" in fails(sink, RefusedError)
    assert server.mails == []


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("554 5.7.1 looks like spam", RefusedError),
        ("452 4.3.1 no space left", DeliveryError),
        ("421 4.3.2 shutting down", UnreachableError),
    ],
)
def test_an_answer_to_the_mail_is_told_apart(server: MailServer, answer: str, kind: type[DeliveryError]) -> None:
    server.at_data = [answer]
    assert answer in fails(email(server), kind)


def test_a_server_that_shuts_down_in_the_middle_is_waited_for(server: MailServer) -> None:
    server.answers[ANNA] = ["421 4.3.2 shutting down"]
    sink = email(server)
    fails(sink)
    sink.deliver([alert()], "1-0")
    assert server.sent_to[-1] == [ANNA, BERT]
