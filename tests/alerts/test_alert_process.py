"""The real `line-worker alerts` process, killed and restarted, beside a real webhook receiver."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import line
import pytest
from alert_results import NG, OK
from click.testing import CliRunner
from webhook_server import Receiver

from worker.cli import main
from worker.settings import AlertSettings
from worker.stream.connection import BLOCK_MS, Client
from worker.types import AlertState

COMMAND = [sys.executable, "-c", "from worker.cli import main; main()", "alerts"]


@contextmanager
def alert_process(redis_url: str, *flags: str, stderr: int = subprocess.DEVNULL) -> Iterator[subprocess.Popen[bytes]]:
    command = [*COMMAND, "--redis", redis_url, "--line", "test", "--metrics-port", "0", *flags]
    environment = os.environ | {"LINE_ALERTS__UPDATE_EVERY_S": "0"}
    process = subprocess.Popen(command, env=environment, stderr=stderr)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_killed_again_and_again_it_repeats_and_loses_nothing(
    client: Client, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINE_ALERTS__OUTBOX__MAX_PER_MINUTE", "0")
    chance, seq = random.Random(7), 0
    with Receiver() as receiver:
        for _ in range(4):
            with alert_process(redis_url, "--webhook", receiver.url):
                line.wait_until(lambda: line.unsettled(client) >= 0)
                until = time.monotonic() + chance.uniform(0.1, 0.4)
                while time.monotonic() < until or seq % 40:
                    verdicts = [NG if seq // 20 % 2 else OK] * 4
                    pairs = list(zip(range(seq, seq + 4), verdicts, strict=True))
                    chance.shuffle(pairs)
                    line.publish(client, pairs)
                    seq += 4
                    time.sleep(0.002)
        with alert_process(redis_url, "--webhook", receiver.url) as process:
            line.wait_until(lambda: line.unsettled(client) == 0)
            settings = AlertSettings(update_every_s=0)
            told = line.alerts(client)
            assert line.said(told) == line.expected(client, settings)
            assert len(told) > 10
            line.wait_until(lambda: len(set(receiver.keys)) == len(told))
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
    # A POST may be repeated where the process died before it could acknowledge it; then with the same key.
    once = list(dict.fromkeys(receiver.keys))
    assert once == [event.id for event in told]


def test_what_one_of_two_processes_had_in_hand_when_it_was_killed_is_not_lost(
    client: Client, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINE_ALERTS__REORDER_MS", "2000")
    reading: set[bytes] = set()

    def all_have_read() -> bool:
        clients = client.execute_command("CLIENT", "LIST").splitlines()
        reading.update(one.split()[0] for one in clients if b"cmd=xreadgroup" in one)
        return len(reading) >= 2  # they do other things too, so seldom both at once

    with alert_process(redis_url) as doomed, alert_process(redis_url) as survivor:
        line.wait_until(all_have_read)
        # Given one that holds results for their window, while the other is stopped and its last read is over
        survivor.send_signal(signal.SIGSTOP)
        time.sleep(2 * BLOCK_MS / 1_000)
        line.publish(client, [(1, NG), (2, NG), (3, NG)])
        line.wait_until(lambda: client.execute_command("XPENDING", line.KEYS.results, "alerting")[0] == 3)
        doomed.kill()
        doomed.wait()
        assert line.alerts(client) == []
        # I expect the other to take them over
        survivor.send_signal(signal.SIGCONT)
        line.wait_until(lambda: line.unsettled(client) == 0)
        assert [event.state for event in line.alerts(client)] == [AlertState.RAISED]


def test_a_slow_webhook_does_not_delay_the_decisions(client: Client, redis_url: str) -> None:
    with (
        Receiver(delay_s=1) as receiver,
        alert_process(redis_url, "--webhook", receiver.url) as process,
    ):
        line.wait_until(lambda: line.unsettled(client) >= 0)
        line.publish(client, [(seq, NG) for seq in range(10)])
        line.wait_until(lambda: len(line.alerts(client)) == 8)
        assert len(receiver.got) < 2
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_killed_in_a_storm_it_sends_the_same_messages_again_and_every_event_in_one(
    client: Client, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINE_ALERTS__OUTBOX__MAX_PER_MINUTE", "3")
    monkeypatch.setenv("LINE_ALERTS__OUTBOX__GROUP_MAX", "40")
    chance, seq = random.Random(7), 0
    with Receiver(delay_s=0.05) as receiver:
        for _ in range(5):
            with alert_process(redis_url, "--webhook", receiver.url):
                line.publish(client, [(number, NG) for number in range(seq, seq + 150)])
                seq += 150
                line.wait_until(lambda: line.unsettled(client) == 0)
                time.sleep(chance.uniform(0.0, 0.2))
            client.execute_command("DEL", line.KEYS.outbox("webhook").lease)  # the next need not wait for its end
        monkeypatch.setenv("LINE_ALERTS__OUTBOX__MAX_PER_MINUTE", "60")
        with alert_process(redis_url, "--webhook", receiver.url):
            line.wait_until(lambda: client.execute_command("XLEN", line.KEYS.outbox("webhook").waiting) == 0)
        told = [event.id for event in line.alerts(client)]
    messages: dict[str, list[str]] = {}
    for key, body in receiver.got:
        events = [event["id"] for event in body.get("alerts", [body])]
        assert messages.setdefault(key, events) == events
    assert [event for events in messages.values() for event in events] == told
    assert max(map(len, messages.values())) == 40


def test_a_second_process_goes_on_when_the_first_is_killed(client: Client, redis_url: str) -> None:
    lease = line.KEYS.outbox("webhook").lease
    with Receiver() as receiver, alert_process(redis_url, "--webhook", receiver.url) as doomed:
        line.wait_until(lambda: bool(client.execute_command("EXISTS", lease)))
        first = client.execute_command("GET", lease)
        with alert_process(redis_url, "--webhook", receiver.url) as survivor:
            line.wait_until(lambda: line.unsettled(client) >= 0)
            line.publish(client, [(seq, NG) for seq in range(10)])
            line.wait_until(lambda: len(receiver.got) == 8)
            assert client.execute_command("GET", lease) == first
            doomed.kill()
            doomed.wait()
            line.publish(client, [(seq, OK) for seq in range(10, 20)])
            line.wait_until(lambda: len(set(receiver.keys)) == len(line.alerts(client)) > 8)
            assert client.execute_command("GET", lease) != first
            # And it gives the outbox back at its end, so that the next one need not wait
            survivor.send_signal(signal.SIGTERM)
            assert survivor.wait(20) == 0
            assert not client.execute_command("EXISTS", lease)
    # What was in flight at the death may have come twice
    assert list(dict.fromkeys(receiver.keys)) == [event.id for event in line.alerts(client)]


def test_sigterm_ends_it_also_while_a_receiver_hangs(
    client: Client, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINE_ALERTS__WEBHOOK__TIMEOUT_S", "60")
    outbox = line.KEYS.outbox("webhook")
    with Receiver(delay_s=90) as receiver, alert_process(redis_url, "--webhook", receiver.url) as process:
        line.wait_until(lambda: line.unsettled(client) >= 0)
        line.publish(client, [(seq, NG) for seq in range(3)])
        line.wait_until(lambda: bool(client.execute_command("HLEN", outbox.state)))
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert not client.execute_command("EXISTS", outbox.lease)
        assert client.execute_command("XLEN", outbox.waiting) == 1


def test_sigterm_ends_it_cleanly_while_redis_is_away() -> None:
    with alert_process("redis://127.0.0.1:1/0", stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert any(b"Redis is away" in said for said in process.stderr)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        process.stderr.close()


def test_it_serves_its_metrics(client: Client, redis_url: str) -> None:
    port = 19_109
    with alert_process(redis_url, "--metrics-port", str(port)):
        line.wait_until(lambda: line.unsettled(client) >= 0)
        line.publish(client, [(0, NG), (1, NG), (2, NG)])

        def served() -> str:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
                return str(answer.read().decode())

        line.wait_until(lambda: 'kind="anomaly",line="test",state="raised"} 1.0' in served())
        line.wait_until(lambda: 'outcome="delivered",sink="log"} 1.0' in served())


def test_a_wrong_webhook_url_is_said_at_once() -> None:
    answer = CliRunner().invoke(main, ["alerts", "--webhook", "example.com"])
    assert answer.exit_code == 78
    assert "alerts.webhook.url" in answer.output


def test_the_help_teaches_by_example() -> None:
    answer = CliRunner().invoke(main, ["alerts", "--help"])
    assert answer.exit_code == 0
    assert "line-worker alerts --webhook" in answer.output
