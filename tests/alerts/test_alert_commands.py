"""`line-worker alerts list`, `acknowledge`, `shelve` and `unshelve`, with a real alert process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import line
import pytest
from alert_results import NG, OK
from click.testing import CliRunner, Result
from webhook_server import Receiver

from worker.alerts.life import OpenAlert
from worker.alerts.policy import CameraState, RuleState
from worker.cli import main
from worker.settings import KeepSettings
from worker.stream.alarm_states import Saved
from worker.stream.alerting import AlertStore
from worker.stream.connection import Client
from worker.types import AlertKind, AlertState

Run = Callable[..., Result]


@pytest.fixture
def run(redis_url: str) -> Run:
    def invoke(*arguments: str) -> Result:
        environment = {"LINE_REDIS__URL": redis_url, "LINE_LINE": "test"}
        return CliRunner().invoke(main, ["alerts", *arguments], env=environment)

    return invoke


@pytest.fixture(autouse=True)
def _one_bad_result_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANOMALY__WINDOW", "ANOMALY__RAISE_AT", "REORDER_MS"):
        monkeypatch.setenv(f"LINE_ALERTS__{name}", "0" if name == "REORDER_MS" else "1")
    monkeypatch.setenv("LINE_ALERTS__ANOMALY__CLEAR_AFTER", "1")
    monkeypatch.setattr("worker.cli.alert_orders.CARRIED_OUT_WITHIN_S", 60)  # a machine under load takes its time


@contextmanager
def alert_process(redis_url: str, *flags: str) -> Iterator[None]:
    options = ["--redis", redis_url, "--line", "test", "--metrics-port", "0", *flags]
    process = subprocess.Popen([sys.executable, "-m", "worker", "alerts", *options], stderr=subprocess.DEVNULL)
    try:
        yield
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


def listed(run: Run) -> dict[str, Any]:
    done = run("list", "--json")
    assert done.exit_code == 0, done.output
    return dict(json.loads(done.stdout))


def raise_one(client: Client, seq: int, camera: str = "c1") -> str:
    """The id of an alert that the process has raised, which must be there."""
    before = len(line.alerts(client))
    line.publish(client, [(seq, NG)], camera)
    line.wait_until(lambda: len(line.alerts(client)) > before)
    return line.alerts(client)[-1].alert_id


def states(client: Client) -> list[tuple[AlertState, bool]]:
    return [(event.state, event.shelved) for event in line.alerts(client)]


def test_an_alert_is_listed_acknowledged_and_cleared_and_the_webhook_is_told(
    client: Client, redis_url: str, run: Run
) -> None:
    with Receiver() as receiver, alert_process(redis_url, "--webhook", receiver.url):
        line.wait_until(lambda: line.unsettled(client) >= 0)
        assert run("list").output == "no alert is open\n"
        alert_id = raise_one(client, 0)
        assert alert_id in run("list").output
        done = run("acknowledge", alert_id, "--by", "Łucja", "--note", "lens is dirty")
        assert (done.exit_code, done.output) == (0, f"{alert_id}  acknowledged by Łucja\n")
        (shown,) = listed(run)["alerts"]
        assert (shown["alert_id"], shown["acknowledged_by"], shown["note"]) == (alert_id, "Łucja", "lens is dirty")
        assert "acknowledged by Łucja: lens is dirty" in run("list").output
        # Once more changes nothing, and says who was first
        done = run("acknowledge", "--camera", "c1", "--by", "bo")
        assert (done.exit_code, done.output) == (0, f"{alert_id}  acknowledged by Łucja\n")
        line.publish(client, [(1, NG), (2, OK)])
        line.wait_until(lambda: len(receiver.got) == 3)
    told = [(body["state"], body["by"], body["note"]) for _, body in receiver.got]
    assert told == [("raised", "", ""), ("acknowledged", "Łucja", "lens is dirty"), ("cleared", "", "")]


def test_shelved_alerts_reach_no_webhook_until_the_shelf_ends(client: Client, redis_url: str, run: Run) -> None:
    with Receiver() as receiver, alert_process(redis_url, "--webhook", receiver.url):
        line.wait_until(lambda: line.unsettled(client) >= 0)
        done = run("shelve", "--camera", "c1", "--for", "2h", "--by", "anna", "--note", "lens is changed")
        assert done.exit_code == 0, done.output
        assert done.output.startswith("Alerts of c1 are shelved until 20")
        assert done.output.endswith("by anna: lens is changed\n")
        (shelf,) = listed(run)["shelves"]
        assert (shelf["camera"], shelf["kind"], shelf["by"]) == ("c1", "", "anna")
        assert shelf["until"] - shelf["since"] == 7_200 * 10**9
        hidden = raise_one(client, 0)
        other = raise_one(client, 0, "c2")
        line.wait_until(lambda: len(receiver.got) == 1)
        assert [alert["shelved_until"] for alert in listed(run)["alerts"]] == [shelf["until"], 0]
        done = run("unshelve", "--camera", "c1")
        assert (done.exit_code, done.output) == (0, "alerts of c1 are not shelved any more\n")
        line.wait_until(lambda: len(receiver.got) == 2)
    assert [(body["state"], body["alert_id"]) for _, body in receiver.got] == [("raised", other), ("raised", hidden)]
    assert states(client) == [(AlertState.RAISED, True), (AlertState.RAISED, False), (AlertState.RAISED, False)]


def test_a_short_shelf_ends_by_itself(client: Client, redis_url: str, run: Run) -> None:
    with alert_process(redis_url):
        line.wait_until(lambda: line.unsettled(client) >= 0)
        assert run("shelve", "--all").exit_code == 0
        raise_one(client, 0)
        # Given that it is made shorter
        assert run("shelve", "--all", "--for", "1s").exit_code == 0
        line.wait_until(lambda: states(client) == [(AlertState.RAISED, True), (AlertState.RAISED, False)])
        assert listed(run)["shelves"] == []


def test_where_no_alert_process_runs_an_order_waits_and_is_carried_out_later(
    client: Client, redis_url: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.cli.alert_orders.CARRIED_OUT_WITHIN_S", 0.2)
    done = run("shelve", "--kind", "anomaly")
    assert done.exit_code == 75
    assert "the order is given and waits" in done.output
    with alert_process(redis_url):
        line.wait_until(lambda: [shelf["kind"] for shelf in listed(run)["shelves"]] == ["anomaly"])


def test_what_is_not_open_is_refused_with_what_is(client: Client, redis_url: str, run: Run) -> None:
    with alert_process(redis_url):
        line.wait_until(lambda: line.unsettled(client) >= 0)
        alert_id = raise_one(client, 0)
    for arguments in (["c1:anomaly:1-0"], ["--camera", "c2"], ["--camera", "c1", "--kind", "late"]):
        done = run("acknowledge", *arguments)
        assert done.exit_code == 1
        assert alert_id in done.output
    done = run("unshelve", "--camera", "c1")
    assert (done.exit_code, done.output) == (1, "Error: no shelf of alerts of c1; there are: none\n")
    assert client.execute_command("EXISTS", line.KEYS.orders) == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["acknowledge"],
        ["acknowledge", "a1", "--camera", "c1"],
        ["acknowledge", "--all", "--camera", "c1"],
        ["acknowledge", "--camera", "a b"],
        ["acknowledge", "a1", "--note", "x" * 501],
        ["acknowledge", "a1", "--by", "an\nna"],
        ["acknowledge", "a1", "--by", ""],
        ["shelve"],
        ["shelve", "--all", "--kind", "late"],
        ["shelve", "--all", "--for", "8d"],
        ["shelve", "--all", "--for", "0s"],
        ["shelve", "--all", "--for", "2"],
        ["shelve", "--all", "--for", "-1h"],
        ["shelve", "--kind", "tired"],
        ["unshelve"],
        ["--line", "other", "list"],
    ],
)
def test_what_cannot_be_meant_is_said_before_anything_is_done(client: Client, run: Run, arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.exit_code == 2
    assert "Error: " in done.output
    assert client.execute_command("EXISTS", line.KEYS.orders) == 0


def test_whoever_gives_an_order_is_the_user_of_the_machine_unless_told_otherwise(
    client: Client, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.cli.alert_orders.CARRIED_OUT_WITHIN_S", 0)
    for user in ("shift-2", ""):
        monkeypatch.setenv("LOGNAME", user)
        for name in ("USER", "LNAME", "USERNAME"):
            monkeypatch.delenv(name, raising=False)
        if not user:
            monkeypatch.setattr("pwd.getpwuid", _nobody)
        run("shelve", "--all")
    page = client.execute_command("XRANGE", line.KEYS.orders, "-", "+")
    given = [dict(zip(flat[::2], flat[1::2], strict=True))[b"by"].decode() for _, flat in page]
    assert given == ["shift-2", f"uid {os.getuid()}"]


def _nobody(uid: int) -> None:
    raise KeyError(uid)


def test_the_age_of_an_alert_is_readable(client: Client, redis_url: str, run: Run) -> None:
    with alert_process(redis_url):
        line.wait_until(lambda: line.unsettled(client) >= 0)
        raise_one(client, 0)
    shown = run("list").output
    assert "c1: 1 of the last 1 results are NG" in shown
    state = client.execute_command("HGET", line.KEYS.alarm("c1"), "state").decode()
    hours = int(time.time() - 2.5 * 3_600) * 10**9
    opened_at = json.loads(state)["rules"]["anomaly"]["opened"]["opened_at"]
    client.execute_command("HSET", line.KEYS.alarm("c1"), "state", state.replace(str(opened_at), str(hours)))
    assert " 2h 30m " in run("list").output


def test_what_a_result_says_does_not_steer_a_terminal(client: Client, run: Run) -> None:
    message = "c1: 3 results are INVALID (\x1b]0;title\x07\x1b[2J\nno alert is open)"
    alert = OpenAlert(
        alert_id="c1:invalid:1-0",
        camera="c1",
        kind=AlertKind.INVALID,
        opened_at=1,
        count=3,
        told_count=3,
        told_at=1,
        message=message,
    )
    state = CameraState(rules={AlertKind.INVALID: RuleState(opened=alert)})
    assert AlertStore(client, line.KEYS, KeepSettings()).commit("c1", Saved(0, state.model_dump_json())) is not None
    (listed,) = run("list").output.splitlines()
    assert listed.isprintable()
    assert listed.endswith("no alert is open)")
