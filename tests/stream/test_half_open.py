"""A network that swallows everything without closing a connection: each side is left within `redis.timeout_s`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from line_settings import settings_for

from worker.errors import StreamUnavailable
from worker.stream.connection import connect, stream_errors

from .line_of_frames import Line, in_background
from .silent_proxy import SilentProxy

GIVEN_UP_S = 20  # redis.timeout_s is 1 below; a slow machine may take its time, a hang would last for ever


@pytest.fixture
def proxy(redis_url: str) -> Iterator[SilentProxy]:
    with SilentProxy(int(redis_url.rpartition(":")[2].partition("/")[0])) as proxy:
        yield proxy


@pytest.fixture
def line(proxy: SilentProxy) -> Iterator[Line]:
    line = Line(settings_for(proxy.url, redis__timeout_s=1, redis__connect_timeout_s=1, redis__health_check_s=1))
    yield line
    assert line.books().difference == 0
    line.close()


def is_given_up(work: Callable[[], Any]) -> None:
    def attempt() -> str:
        try:
            work()
        except StreamUnavailable:
            return "given up"
        return "answered"

    thread, said = in_background(attempt)
    thread.join(GIVEN_UP_S)
    assert said == ["given up"]


def test_a_reader_leaves_a_silent_connection_and_reads_on(line: Line, proxy: SilentProxy) -> None:
    consumer = line.consumer("w1")
    assert consumer.read(1, block_ms=1) == []
    proxy.fall_silent()
    is_given_up(lambda: consumer.read(1))
    is_given_up(lambda: consumer.read(1))  # by a new connection, which comes about and hears nothing either
    proxy.speak()
    frame = line.publish()
    assert [one.id for one in consumer.read(1)] == [frame.id]
    assert line.finish(frame.id) == [True]


def test_a_committer_leaves_a_silent_connection_and_commits_once(line: Line, proxy: SilentProxy) -> None:
    frame = line.publish()
    line.consumer("w1").read(1)
    proxy.fall_silent()
    is_given_up(lambda: line.finish(frame.id))
    proxy.speak()
    assert line.finish(frame.id) == [True]
    assert [one.frame for one in line.results()] == [frame.id]


def test_a_publisher_whose_frame_does_not_even_leave_this_machine_gives_up(line: Line, proxy: SilentProxy) -> None:
    line.publish()
    proxy.fall_silent()
    is_given_up(lambda: line.publish(data=b"x" * 2**25))  # more than the kernel's buffers take
    proxy.speak()
    line.publish()
    assert len(line.waiting()) == 2


def test_a_connection_that_was_idle_is_asked_for_a_sign_of_life_first(proxy: SilentProxy) -> None:
    settings = settings_for(proxy.url, redis__timeout_s=1, redis__health_check_s=1)
    client = connect(settings)
    assert client.execute_command("SET", "{test}:x", "1") == b"OK"
    (connection,) = client.connection_pool._available_connections
    assert connection.health_check_interval == 1
    connection.next_health_check = 0  # as after a second
    proxy.fall_silent()

    def increment() -> None:
        with stream_errors():
            client.execute_command("INCR", "{test}:x")

    is_given_up(increment)
    proxy.speak()
    # I expect the command itself not to have been sent into the void
    assert client.execute_command("GET", "{test}:x") == b"1"
    client.close()


@pytest.mark.parametrize("url", ["redis://h", "rediss://h", "redis+sentinel://h/line", "redis+cluster://h"])
def test_every_kind_of_connection_has_its_time_outs(url: str) -> None:
    settings = settings_for(url, redis__timeout_s=7, redis__connect_timeout_s=2, redis__health_check_s=3)
    pool = connect(settings).connection_pool
    connections = [pool.connection_class(**pool.connection_kwargs)]
    assert connections[0].socket_keepalive
    if locator := pool.connection_kwargs.get("locator"):
        connections.append(locator._connection_class(host="h", port=1, **locator._options))
    for connection in connections:
        assert connection.socket_connect_timeout == 2
        assert connection.socket_timeout == (7 if connection is connections[0] else 2)
        assert connection.health_check_interval == 3
        assert connection.retry._retries == 0
