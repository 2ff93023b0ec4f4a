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


def test_killed_again_and_again_it_repeats_and_loses_nothing(client: Client, redis_url: str) -> None:
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
        return len(reading) >= 4  # two readers each; they do other things too, so seldom all at once

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
