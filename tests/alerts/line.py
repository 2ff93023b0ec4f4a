"""A line in Redis as the tests of alerting see it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from alert_results import result

from worker.alerts.policy import CameraState, observe
from worker.settings import AlertSettings
from worker.stream.connection import Client
from worker.stream.fields import (
    alert_from_fields,
    entry_time_ns,
    flat_fields,
    result_from_fields,
    result_to_fields,
)
from worker.stream.keys import LineKeys
from worker.types import Alert, AlertState, Result, Verdict

KEYS = LineKeys("test")


def publish(client: Client, verdicts: Iterable[tuple[int, Verdict]], camera: str = "c1") -> None:
    """Results as workers finish them: (seq, verdict) in that order."""
    for seq, verdict in verdicts:
        fields = flat_fields(result_to_fields(result(seq, verdict, camera=camera, seq=seq)))
        client.execute_command("XADD", KEYS.results, "*", *fields)


def results(client: Client) -> list[Result]:
    page = client.execute_command("XRANGE", KEYS.results, "-", "+")
    return [result_from_fields(entry_id.decode(), flat) for entry_id, flat in page]


def alerts(client: Client) -> list[Alert]:
    page = client.execute_command("XRANGE", KEYS.alerts, "-", "+")
    return [alert_from_fields(entry_id.decode(), flat) for entry_id, flat in page]


def unsettled(client: Client) -> int:
    """Results that are not acknowledged, read or not; -1 while there is no group."""
    if not client.execute_command("EXISTS", KEYS.results):
        return -1
    groups = client.execute_command("XINFO", "GROUPS", KEYS.results)
    if not groups:
        return -1
    info = dict(zip(groups[0][::2], groups[0][1::2], strict=True))
    after = info[b"last-delivered-id"].decode()
    unread = client.execute_command("XRANGE", KEYS.results, f"({after}", "+")
    return int(info[b"pending"]) + len(unread)


def expected(client: Client, settings: AlertSettings) -> list[tuple[str, AlertState, int, int]]:
    """What one process that never dies says of these results, in order of seq."""
    state, events = CameraState(), []
    for one in sorted(results(client), key=lambda one: one.seq or 0):
        state, told = observe(state, one, entry_time_ns(one.id), settings)
        events += told
    return said(events)


def said(events: list[Alert]) -> list[tuple[str, AlertState, int, int]]:
    return [(event.alert_id, event.state, event.count, event.at) for event in events]


def wait_until(condition: Callable[[], bool], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
