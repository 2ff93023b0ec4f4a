"""The examples for the streams, with a real worker and a real alert process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import redis
from PIL import Image
from ports import free_port
from system.running import READY_TIMEOUT_S, RunningLine

from worker.demo import MODEL
from worker.stream.consume import consumer_count
from worker.stream.embedded import EmbeddedRedis
from worker.stream.fields import alert_to_fields
from worker.stream.keys import LineKeys
from worker.types import Alert, AlertKind, AlertState, Severity

from .examples import STREAMS, Client, Example

KEYS = LineKeys("test")


@pytest.fixture(scope="module")
def line(_default_server: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLine]:
    """A worker and the alert process: each NG raises an alert, each OK clears it."""
    url, folder = _default_server.url, tmp_path_factory.mktemp("line")
    rule = {"window": 1, "raise_at": 1, "clear_after": 1}
    settings = {f"alerts__anomaly__{name}": value for name, value in rule.items()}
    with RunningLine(url, folder, model=MODEL, engine="paddle", precision="fp32", **settings) as running:
        running.client.flushall()
        running.start("run", "run", "--devices", f"cpu:{min(os.sched_getaffinity(0))}")
        running.start("alerts", "alerts")
        running.wait_until(lambda: consumer_count(running.client, running.keys) == 1, READY_TIMEOUT_S, "a worker")
        yield running


@pytest.fixture(params=STREAMS, ids=lambda example: example.folder)
def client(request: pytest.FixtureRequest, built: Callable[[Example], Client]) -> Client:
    return built(request.param)


@pytest.fixture
def where(_default_server: EmbeddedRedis) -> dict[str, str]:
    return {"LINE_REDIS__URL": _default_server.url, "LINE_LINE": "test"}


@pytest.fixture
def server(_default_server: EmbeddedRedis) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(_default_server.url, decode_responses=True, protocol=2) as client:
        yield client


@pytest.fixture
def group(client: Client, server: redis.Redis) -> Iterator[str]:
    """The name of a group that begins with what comes from now on."""
    server.xgroup_create(KEYS.alerts, "mine", id="$", mkstream=True)
    yield "mine"
    server.xgroup_destroy(KEYS.alerts, "mine")


def publish(client: Client, where: dict[str, str], file: Path, camera: str) -> str:
    """The frame's id."""
    done = client.run("publish", file, "--camera", camera, **where)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def tell(server: redis.Redis, alert_id: str) -> str:
    """Put an alert on the stream, as the alert process does; the entry's id."""
    alert = Alert(alert_id, "c9", AlertKind.ANOMALY, AlertState.RAISED, Severity.CRITICAL, 1, 1, message="told")
    return str(server.xadd(KEYS.alerts, alert_to_fields(alert)))


def acknowledged(server: redis.Redis, group: str) -> bool:
    (found,) = [found for found in server.xinfo_groups(KEYS.alerts) if found["name"] == group]
    return bool(found["pending"] == 0 and found["last-delivered-id"] == server.xrevrange(KEYS.alerts, count=1)[0][0])


def test_a_published_frame_gets_its_verdict(
    client: Client, line: RunningLine, server: redis.Redis, where: dict[str, str], parts: Path, tmp_path: Path
) -> None:
    with client.follow("results", "--label-maps", tmp_path, **where) as results:
        line.wait_until(lambda: any(entry["cmd"] == "xread" for entry in server.client_list()), 20, "it reads")
        bad = publish(client, where, parts / "bad.jpg", "c1")
        good = publish(client, where, parts / "good.png", "c2")

        assert results.says(bad).split()[1:3] == ["c1", "NG"]
        assert results.says(good).split()[1:3] == ["c2", "OK"]

    assert [file.name for file in tmp_path.iterdir()] == [f"{bad}.png"]
    assert np.unique(np.asarray(Image.open(tmp_path / f"{bad}.png"))).tolist() == [0, 255]
    assert line.ledger().difference == 0


def test_an_alert_is_told_and_acknowledged(
    client: Client, line: RunningLine, server: redis.Redis, where: dict[str, str], parts: Path, group: str
) -> None:
    with client.follow("alerts", "--group", group, **where) as alerts:
        for file, state in (("bad.jpg", "raised"), ("good.jpg", "cleared")):
            publish(client, where, parts / file, "c3")
            assert alerts.says("c3:anomaly:").split()[1] == state
        line.wait_until(lambda: acknowledged(server, group), 20, "they are acknowledged")


def test_what_was_not_acknowledged_comes_again_at_the_next_start(
    client: Client, line: RunningLine, server: redis.Redis, where: dict[str, str], group: str
) -> None:
    trimmed, _ = tell(server, "first"), tell(server, "second")
    server.xreadgroup(group, "me", {KEYS.alerts: ">"})  # and then it was killed
    server.xdel(KEYS.alerts, trimmed)
    tell(server, "third")

    with client.follow("alerts", "--group", group, "--consumer", "me", **where) as alerts:
        assert [alerts.says("").split()[0] for _ in range(2)] == ["second", "third"]
        line.wait_until(lambda: acknowledged(server, group), 20, "they are acknowledged, what was trimmed too")


def test_a_lost_group_and_a_lost_connection_are_healed(
    client: Client, line: RunningLine, server: redis.Redis, where: dict[str, str], group: str
) -> None:
    with client.follow("alerts", "--group", group, **where) as alerts:
        tell(server, "before")
        alerts.says("before")

        server.xgroup_destroy(KEYS.alerts, group)
        tell(server, "without a group")
        alerts.says("without a group")

        server.delete(KEYS.alerts)
        tell(server, "after the stream was deleted")
        alerts.says("after the stream was deleted")

        server.client_kill_filter(_type="normal", skipme=True)
        tell(server, "after a broken connection")
        alerts.says("after a broken connection")
        line.wait_until(lambda: acknowledged(server, group), 20, "all are acknowledged")


def test_without_redis_publish_fails(client: Client, parts: Path) -> None:
    done = client.run("publish", parts / "good.jpg", LINE_REDIS__URL=f"redis://127.0.0.1:{free_port()}")

    assert done.returncode == 1
    assert "error" in done.stderr
