"""The Redis of deploy/redis is killed and comes back: what its users wrote by scripts is there again."""

from __future__ import annotations

from pathlib import Path

import redis
from ports import free_port
from redis.backoff import NoBackoff
from redis.retry import Retry

from worker.stream.connection import connect
from worker.stream.keys import LineKeys
from worker.stream.ledger import read_ledger
from worker.stream.publish import FramePublisher
from worker.types import Frame

from .guarded import GuardedRedis


def test_a_restart_loses_nothing_that_a_script_wrote(tmp_path: Path) -> None:
    """Redis reads its file as the user `default`, and left out what that one may not write, without ending."""
    port = free_port()
    with GuardedRedis(tmp_path, port) as server:
        first = (
            FramePublisher(server.settings("admin")).publish(Frame("c1", b"data")).id
        )  # loads the script, as workers do
        publisher = FramePublisher(server.settings("camera"))
        ids = [first] + [publisher.publish(Frame("c1", b"data")).id for _ in range(19)]
        publisher.close()
    with GuardedRedis(tmp_path, port) as server:
        keys = LineKeys("test")
        entries = server.admin.execute_command("XRANGE", keys.frames, "-", "+")
        assert [entry[0].decode() for entry in entries] == ids
        books = read_ledger(connect(server.settings("viewer")), keys)
        assert (books.produced, books.backlog, books.difference) == (20, 20, 0)
        assert "NOPERM" not in server.log


def test_nobody_is_the_user_as_whom_redis_reads_its_file(tmp_path: Path) -> None:
    with GuardedRedis(tmp_path, free_port()) as server:
        for login in ({}, {"password": ""}, {"password": "any"}, {"username": "default", "password": "any"}):
            stranger = redis.Redis(port=server.port, retry=Retry(NoBackoff(), 0), **login)  # type: ignore[arg-type]
            for command in (("PING",), ("GET", "x"), ("XADD", "{test}:frames", "*", "a", "b"), ("ACL", "WHOAMI")):
                try:
                    stranger.execute_command(*command)  # type: ignore[no-untyped-call]
                except redis.AuthenticationError:
                    continue
                raise AssertionError(f"{login} may do {command}")
