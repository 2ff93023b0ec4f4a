"""Which workers cannot keep evidence, as it stands in Redis."""

from __future__ import annotations

import json
import time

import pytest

from worker.settings import Settings
from worker.stream.alerting import AlertStore
from worker.stream.connection import Client, connect
from worker.stream.evidence import EvidenceBoard
from worker.stream.keys import LineKeys

KEYS = LineKeys("test")


@pytest.fixture
def client(each_settings: Settings) -> Client:
    return connect(each_settings)


def test_the_alert_process_sees_what_workers_report_until_they_withdraw_it(
    client: Client, each_settings: Settings
) -> None:
    client.execute_command("XGROUP", "CREATE", KEYS.frames, "inspect", "0", "MKSTREAM")
    store = AlertStore(client, KEYS, each_settings.keep)
    board = EvidenceBoard(client, KEYS)
    assert store.look().evidence == ()
    board.report("w1", "/disk: No space left on device")
    board.report("w2", "x" * 10_000)
    first, second = sorted(store.look().evidence, key=lambda one: one.worker)
    assert (first.worker, first.reason) == ("w1", "/disk: No space left on device")
    assert abs(first.at - time.time_ns()) < 60e9
    assert len(second.reason) < 1_000
    board.withdraw("w1")
    board.withdraw("w1")
    assert [one.worker for one in store.look().evidence] == ["w2"]


def test_what_stands_there_is_forgotten_where_nobody_has_trouble_any_more(client: Client) -> None:
    EvidenceBoard(client, KEYS).report("w1", "x")
    assert 0 < client.execute_command("TTL", KEYS.evidence) <= 24 * 3600


@pytest.mark.parametrize(
    "text", ["", "x", "[]", "null", "7", '{"reason": "x"}', '{"reason": "x", "at": "late"}', b"\xff"]
)
def test_what_no_worker_wrote_is_left_out(client: Client, text: str | bytes) -> None:
    board = EvidenceBoard(client, KEYS)
    board.report("w1", "x")
    client.execute_command("HSET", KEYS.evidence, "other", text)
    client.execute_command("HSET", KEYS.evidence, b"\xff", json.dumps({"reason": "x", "at": 1}))
    assert [one.worker for one in board.problems()] == ["w1"]


def test_another_kind_of_key_in_its_place_ends_nothing(client: Client) -> None:
    client.execute_command("SET", KEYS.evidence, "x")
    assert EvidenceBoard(client, KEYS).problems() == ()
