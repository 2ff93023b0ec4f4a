"""`line-worker outbox` on real outboxes."""

from __future__ import annotations

import json

import pytest

from worker.settings import KeepSettings
from worker.stream.alarm_states import Saved
from worker.stream.alerting import AlertStore
from worker.stream.connection import Client
from worker.stream.keys import LineKeys
from worker.stream.outbox import Outbox
from worker.types import Alert, AlertKind, AlertState, Severity

from .conftest import Run

KEYS = LineKeys("test")


@pytest.fixture
def dead(client: Client) -> list[str]:
    """Of four events that wait for the webhook, two are dead letters: refused, and given up on; their events' ids."""
    alerts = [
        Alert(f"c1:anomaly:{number}", camera, AlertKind.ANOMALY, AlertState.RAISED, Severity.CRITICAL, 1, 1)
        for number, camera in enumerate(["c1", "", "c1", "c1"])
    ]
    webhook, log = (Outbox(client, KEYS, sink, KeepSettings(), "me") for sink in ("webhook", "log"))
    assert webhook.take()
    assert log.take()
    AlertStore(client, KEYS, KeepSettings(), ["webhook"]).commit("c1", Saved(), [], alerts)
    first, second, *_ = webhook.all()
    webhook.failed(second.event, "500: no room")
    webhook.bury(first.event, [first.id], "refused", "422: no such camera")
    webhook.bury(second.event, [second.id], "gave_up", "500: no room")
    return [first.event, second.event]


def letter_ids(run: Run, *arguments: str) -> list[str]:
    return [json.loads(text)["id"] for text in run("outbox", "dead", "--json", *arguments).output.splitlines()]


def test_what_waits_is_listed_by_sink_with_the_last_error(run: Run, dead: list[str]) -> None:
    log, webhook = run("outbox", "list").output.splitlines()
    assert log.split()[:7] == ["log", "0", "waiting", "0", "s", "0", "dead"]
    assert webhook.split()[:3] == ["webhook", "2", "waiting"]
    assert "2 dead" in webhook
    assert webhook.endswith("500: no room")
    _, told = map(json.loads, run("outbox", "list", "--json").output.splitlines())
    assert (told["sink"], told["waiting"], told["dead"]) == ("webhook", 2, 2)
    assert told["buried"] == {"refused": 1, "gave_up": 1}


def test_a_line_without_an_outbox_has_nothing_to_list(run: Run) -> None:
    assert run("outbox", "list").output == ""
    assert run("outbox", "dead").output == ""


def test_dead_letters_say_what_and_why(run: Run, dead: list[str]) -> None:
    refused, given_up = run("outbox", "dead").output.splitlines()
    assert refused.split()[3:] == ["webhook", "refused", "raised", "anomaly", "c1", "422:", "no", "such", "camera"]
    assert given_up.split()[3:8] == ["webhook", "gave_up", "raised", "anomaly", "line"]
    assert len(letter_ids(run, "webhook", "--reason", "refused")) == 1
    assert letter_ids(run, "log") == []
    told = json.loads(run("outbox", "dead", "--json").output.splitlines()[0])
    assert (told["reason"], told["alert"]["id"]) == ("refused", dead[0])


def test_a_letter_is_replayed_and_another_purged(run: Run, client: Client, dead: list[str]) -> None:
    first, second = letter_ids(run)
    assert f"{first} waits again as" in run("outbox", "replay", "webhook", first).output
    assert run("outbox", "purge", "webhook", second).output == f"{second} deleted\n"
    assert run("outbox", "purge", "webhook", second).output == f"{second} was gone already\n"
    assert letter_ids(run) == []
    *_, last = Outbox(client, KEYS, "webhook", KeepSettings(), "me").all()
    assert last.event == dead[0]


def test_the_words_of_a_receiver_do_not_steer_a_terminal(run: Run, client: Client, dead: list[str]) -> None:
    webhook = Outbox(client, KEYS, "webhook", KeepSettings(), "me")
    entry, *_ = webhook.all()
    webhook.failed(entry.event, "500: \x1b]0;title\x07\x1b[2J\r\nlog  0 waiting")
    webhook.bury(entry.event, [entry.id], "refused", "422: \x1b[2J\n")
    _, listed = run("outbox", "list").output.splitlines()
    *_, letter = run("outbox", "dead").output.splitlines()
    assert listed.endswith("500:  ]0;title  [2J  log  0 waiting")
    assert (listed + letter).isprintable()


@pytest.mark.parametrize("command", ["replay", "purge"])
def test_what_is_no_letters_id_changes_nothing(run: Run, dead: list[str], command: str) -> None:
    first, second = letter_ids(run)
    for name in (first.partition("-")[0], "-", "+", f"({first}", "$", "x", f"{first}\n"):
        done = run("outbox", command, "webhook", "--", name)
        assert done.exit_code == 69
        assert "is no letter's id" in done.output
    assert letter_ids(run) == [first, second]


def test_all_letters_of_a_reason_are_replayed(run: Run, client: Client, dead: list[str]) -> None:
    _, second = letter_ids(run)
    assert len(run("outbox", "replay", "webhook", "--all", "--reason", "refused").output.splitlines()) == 1
    assert letter_ids(run) == [second]
    assert len(run("outbox", "purge", "webhook", "--all").output.splitlines()) == 1
    assert letter_ids(run) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["replay", "webhook"], "--all"),
        (["replay", "webhook", "1-1", "--all"], "--all"),
        (["purge", "webhook", "1-1", "--reason", "refused"], "--all"),
        (["replay", "fax", "--all"], "log, webhook"),
        (["dead", "fax"], "log, webhook"),
        (["replay", "webhook", "1-1"], "no dead letter 1-1"),
        (["replay", "webhook", "nonsense"], "is no letter's id"),
        (["purge", "webhook", "-"], "is no letter's id"),
    ],
)
def test_what_is_not_meant_is_refused(run: Run, dead: list[str], arguments: list[str], said: str) -> None:
    answer = run("outbox", *arguments)
    assert answer.exit_code != 0
    assert said in answer.output
    assert len(letter_ids(run)) == 2
