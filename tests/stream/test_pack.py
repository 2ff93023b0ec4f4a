"""Commands as bytes: what goes in comes back from a server, and nothing of it stays behind."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import redis
from line_settings import settings_for

from worker.stream.connection import Client, connect


@pytest.fixture
def client(each_redis_url: str) -> Client:
    return connect(settings_for(each_redis_url))


@pytest.mark.parametrize(
    ("argument", "stored"),
    [
        ("text ü", "text ü".encode()),
        ("", b""),
        (b"\x00\r\n\xff", b"\x00\r\n\xff"),
        (bytearray(b"ab"), b"ab"),
        (memoryview(b"abc")[1:], b"bc"),
        (7, b"7"),
        (0.5, b"0.5"),
        (bytes(5_000_000), bytes(5_000_000)),
    ],
    ids=["text", "empty", "bytes", "bytearray", "view", "int", "float", "large"],
)
def test_an_argument_arrives_as_it_was_given(client: Client, argument: Any, stored: bytes) -> None:
    client.execute_command("SET", "key", argument)
    assert client.execute_command("GET", "key") == stored


def test_large_arguments_arrive_among_small_ones(client: Client) -> None:
    parts = [b"a", bytes(40_000), b"", "text ü", b"x" * 40_000, bytes(40_000), 7, b"z"]
    client.execute_command("DEL", "list")
    assert client.execute_command("RPUSH", "list", *parts) == len(parts)
    stored = [part if isinstance(part, bytes) else str(part).encode() for part in parts]
    assert client.execute_command("LRANGE", "list", 0, -1) == stored
    replies = client.execute_together(("SET", "one", bytes(40_000)), ("STRLEN", "one"), ("ECHO", bytes(40_000)))
    assert replies == [b"OK", 40_000, bytes(40_000)]


@pytest.mark.parametrize("name", ["CONFIG GET", b"CONFIG GET"])
def test_a_name_of_several_words_is_sent_as_several(client: Client, name: Any) -> None:
    assert client.execute_command(name, "maxmemory-policy")[0] == b"maxmemory-policy"


@pytest.mark.parametrize("argument", [None, ["a"], object()])
def test_what_cannot_be_sent_is_refused(client: Client, argument: Any) -> None:
    with pytest.raises(redis.DataError):
        client.execute_command("SET", "key", argument)
    assert client.execute_command("PING") == b"PONG"


def test_commands_leave_nothing_in_memory(client: Client) -> None:
    """redis-py's own packer left a tuple a command with the interpreter, up to thousands of each length."""
    command = ("XREADGROUP", "GROUP", "g", "c", "COUNT", 5, "STREAMS", "s", ">")
    client.execute_command("XGROUP", "CREATE", "s", "g", "0", "MKSTREAM")
    for _ in range(50):
        client.execute_command(*command)
    before = sys.getallocatedblocks()
    for _ in range(500):
        client.execute_command(*command)
    assert sys.getallocatedblocks() - before < 100
