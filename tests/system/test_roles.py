"""A whole line under the users of deploy/redis, with a program at it that has a camera's rights and means no good."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from cores import two_devices
from ports import free_port
from stream.guarded import GuardedRedis

from worker.settings import inherited_environment
from worker.stream.connection import Client
from worker.stream.consume import consumer_count
from worker.stream.keys import LineKeys

from .running import COMMAND, RunningLine

FRAMES = 800


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedRedis]:
    with GuardedRedis(tmp_path_factory.mktemp("guarded"), free_port()) as server:
        yield server


def attack(hostile: Client, keys: LineKeys) -> None:
    """Floods, writes garbage, tries to take what is others', and at the end uses up the ids."""
    for number in range(60):
        hostile.execute_command("XADD", keys.frames, "*", "camera", "evil", "data", bytes(1_000))
        hostile.execute_command("XADD", keys.frames, "*", *[f"{number}-{part}" for part in range(1_000)])
        hostile.execute_command("HSET", keys.sizes, f"{number}-1", "garbage")
        for command in (("XAUTOCLAIM", keys.frames, "inspect", "evil", 0, "0"), ("XTRIM", keys.frames, "MAXLEN", 0)):
            with pytest.raises(redis.exceptions.NoPermissionError):
                hostile.execute_command(*command)
        time.sleep(0.02)
    hostile.execute_command("XADD", keys.frames, f"{2**64 - 1}-{2**64 - 1}", "camera", "evil", "data", "x")


def test_a_line_under_its_roles_inspects_every_frame_whatever_a_hostile_camera_does(
    guarded: GuardedRedis, small_model: Path, tmp_path: Path
) -> None:
    with RunningLine(guarded.url("admin"), tmp_path, model=small_model, log__format="json") as line:
        # Given cameras that are there before anybody has loaded their script
        camera = {"redis__url": guarded.url("camera")}
        line.start("produce", "produce", f"a=test://?seed=1&size=64&count={FRAMES}", "--fps", "25", **camera)
        line.wait_until(lambda: "load it" in line.log("produce").read_text(), 30, "the camera waits for its script")
        # When workers and alerts come, and a hostile program
        line.start("alerts", "alerts", redis__url=guarded.url("alerts"))
        line.start("run", "run", "--devices", two_devices(), redis__url=guarded.url("worker"))
        line.wait_until(lambda: consumer_count(line.client, line.keys) == 2, 60, "two workers are ready")
        attack(guarded.client("camera"), line.keys)
        assert len(line.results()) < FRAMES
        # Then every honest frame has its verdict, once, also those that waited for an id
        line.finish("produce")
        line.wait_until(lambda: line.ledger().backlog == 0, 60, "every frame is inspected")
        results = [one for one in line.results() if one.camera == "a"]
        assert sorted(one.seq for one in results) == list(range(FRAMES))
        books = line.ledger()
        assert (books.difference, books.dropped) == (0, {})
        assert "ids follow the clock again" in line.log("run").read_text()
        # And people see it under theirs
        viewer, operator = ({"redis__url": guarded.url(user)} for user in ("viewer", "operator"))
        line.start("ledger", "ledger", "--json", **viewer)
        line.start("watch", "watch", "results", "--last", "5", "--count", "5", **viewer)
        line.finish("watch")
        line.start("list", "dead", "list", **viewer)
        line.finish("list")
        line.finish("ledger")
        line.start("purge", "dead", "purge", "--all", **operator)
        line.finish("purge")
        assert (line.stop("alerts"), line.stop("run")) == (0, 0)


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        (["alerts"], "lacks a right"),
        (["produce", "test://?count=1", "--policy", "drop-oldest"], "camera-evict"),
        (["ledger"], "lacks a right"),
        (["watch", "results", "--last", "1"], "lacks a right"),
        (["dead", "list"], "lacks a right"),
        (["run", "--devices", "cpu"], "lacks a right"),
    ],
)
def test_a_command_without_its_rights_ends_with_what_is_missing(
    guarded: GuardedRedis, small_model: Path, arguments: list[str], missing: str
) -> None:
    variables = {"REDIS__URL": guarded.url("camera"), "METRICS__PORT": "0", "METRICS__ALERTS_PORT": "0"}
    variables |= {"MODEL": str(small_model), "LINE": "other"}
    environment = inherited_environment() | {f"LINE_{name}": value for name, value in variables.items()}
    ended = subprocess.run(
        [*COMMAND, *arguments], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 78, ended.stderr
    assert missing in ended.stderr
