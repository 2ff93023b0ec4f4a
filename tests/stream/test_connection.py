"""Connections: who is let in and how, which server is left when it is demoted, and how replicas are waited for."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from line_settings import settings_for
from ports import free_port, free_ports
from redis_servers import Server, wait_for

from worker.errors import SettingsError, StreamError, StreamUnavailable
from worker.settings import Settings
from worker.stream.connection import Client, connect, stream_errors
from worker.stream.embedded import EmbeddedRedis
from worker.stream.keys import LineKeys
from worker.stream.publish import FramePublisher
from worker.types import Frame

from .line_of_frames import Line, in_background, wait_until

USER, PASSWORD = "cam@1", "p/w: #1%"


def ask(client: Client, *command: Any) -> Any:
    with stream_errors():
        return client.execute_command(*command)


@pytest.fixture
def guarded_url(each_redis_url: str) -> Iterator[str]:
    """A Redis with one more user than the default one, who needs no password."""
    client = connect(settings_for(each_redis_url))
    ask(client, "ACL", "SETUSER", USER, "on", f">{PASSWORD}", "~*", "+@all")
    yield each_redis_url
    ask(client, "ACL", "DELUSER", USER)
    client.close()


def who_am_i(settings: Settings) -> str:
    client = connect(settings)
    try:
        return str(ask(client, "ACL", "WHOAMI").decode())
    finally:
        client.close()


def test_user_and_password_come_from_the_url_the_settings_or_a_file(guarded_url: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f"{PASSWORD}\n")
    in_url = guarded_url.replace("//", "//cam%401:p%2Fw%3A%20%231%25@")
    user_in_url = guarded_url.replace("//", "//cam%401@")
    for settings in (
        settings_for(in_url),
        settings_for(guarded_url, redis__username=USER, redis__password=PASSWORD),
        settings_for(guarded_url, redis__username=USER, redis__password_file=secret),
        settings_for(user_in_url, redis__password_file=secret),
    ):
        assert who_am_i(settings) == USER
    assert who_am_i(settings_for(guarded_url)) == "default"


def test_a_refused_login_is_a_wrong_setting_and_its_password_is_not_told(guarded_url: str) -> None:
    with pytest.raises(SettingsError, match="refuses the login") as caught:
        who_am_i(settings_for(guarded_url, redis__username=USER, redis__password="wrong-s3cret"))
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(("content", "said"), [(None, "No such file"), (b"\n", "is empty"), (b"\xff\n", "no UTF-8")])
def test_a_password_file_that_cannot_be_used_is_named(
    content: bytes | None, said: str, redis_url: str, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    if content is not None:
        secret.write_bytes(content)
    with pytest.raises(SettingsError, match=f"redis.password_file {secret}: .*{said}"):
        who_am_i(settings_for(redis_url, redis__password_file=secret))


def test_a_connection_is_never_used_without_the_login_that_failed(guarded_url: str, tmp_path: Path) -> None:
    # Given a server that takes anybody, and a password file that is not there yet
    secret = tmp_path / "secret"
    client = connect(settings_for(guarded_url, redis__username=USER, redis__password_file=secret))
    for _ in range(2):
        with pytest.raises(SettingsError):
            ask(client, "ACL", "WHOAMI")
    # I expect the same client to log in once the file is there, and to read a new one at its next connect
    secret.write_text(PASSWORD)
    assert ask(client, "ACL", "WHOAMI") == USER.encode()
    ask(client, "ACL", "SETUSER", USER, "resetpass", ">changed")
    secret.write_text("changed\n")
    client.connection_pool.disconnect()
    assert ask(client, "ACL", "WHOAMI") == USER.encode()
    client.close()


def test_a_unix_socket_is_reached() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/redis.sock"
        with EmbeddedRedis("--unixsocket", path):
            client = connect(settings_for(f"unix://{path}?db=3"))
            assert ask(client, "PING") == b"PONG"
            assert b"db=3" in ask(client, "CLIENT", "LIST")
            client.close()


@pytest.mark.parametrize("scheme", ["redis", "redis+sentinel", "redis+cluster"])
def test_nobody_at_the_address_is_a_reason_to_wait(scheme: str) -> None:
    first, second = free_ports(2)
    hosts = f"127.0.0.1:{first}" if scheme == "redis" else f"127.0.0.1:{first},127.0.0.1:{second}"
    client = connect(settings_for(f"{scheme}://{hosts}/{'line' if 'sentinel' in scheme else ''}"))
    with pytest.raises(StreamUnavailable, match=r"Connection refused.*redis\.url"):
        ask(client, "PING")
    client.close()


def test_a_server_that_is_no_sentinel_and_no_cluster_says_so(redis_url: str) -> None:
    address = redis_url.removeprefix("redis://").removesuffix("/0")
    for url, said in ((f"redis+sentinel://{address}/line", "SENTINEL"), (f"redis+cluster://{address}", "cluster")):
        client = connect(settings_for(url))
        with pytest.raises(StreamError, match=said):
            ask(client, "PING")
        client.close()


def test_a_server_that_is_busy_with_a_script_is_waited_for_by_whoever_reads_several_things(
    line: Line, limits: Any
) -> None:
    limits(line, "lua-time-limit", "10")
    busy = "local start = redis.call('TIME')[1] while redis.call('TIME')[1] - start < 2 do end"
    other = connect(line.settings)
    thread, _ = in_background(lambda: other.execute_command("EVAL", busy, 0))
    met = []
    while thread.is_alive():
        try:
            line.books()
        except StreamUnavailable as error:  # and no other error: the alert process would end itself
            met.append(str(error))
        time.sleep(0.05)
    assert any("BUSY" in text for text in met)
    other.close()


def test_no_connection_to_a_demoted_server_is_kept(line: Line) -> None:
    """Such a server goes on to answer reads: only a new connection may find out who is the primary now."""
    # Given a reader that waits, a publisher and a committer
    consumer = line.consumer("w1")
    frame = line.publish()
    assert [one.id for one in consumer.read(1)] == [frame.id]
    waiting = connect(line.settings)
    before = ask(waiting, "CLIENT", "ID")
    thread, said = in_background(lambda: error_of(lambda: consumer.read(1, block_ms=20_000)))
    wait_until(lambda: b"blocked_clients:1" in line.do("INFO", "clients"))
    # If the server becomes a replica of another
    ask(waiting, "REPLICAOF", "127.0.0.1", free_port())
    try:
        # I expect the reader to be sent away at once, and the scripts to be refused for now
        thread.join(15)
        assert [type(one) for one in said] == [StreamUnavailable]
        assert isinstance(error_of(lambda: line.finish(frame.id)), StreamUnavailable)
        assert isinstance(error_of(line.publish), StreamUnavailable)
        assert isinstance(error_of(lambda: ask(waiting, "SET", "x", 1)), StreamUnavailable)
        assert ask(waiting, "CLIENT", "ID") != before
    finally:
        ask(waiting, "REPLICAOF", "NO", "ONE")
    assert line.finish(frame.id) == [True]
    waiting.close()


def error_of(work: Any) -> BaseException | None:
    try:
        work()
    except StreamError as error:
        return error
    return None


class Pair:
    """A primary with one replica, and a publisher that wants it to have each frame."""

    def __init__(self, folder: Path) -> None:
        ports = free_ports(2)
        self.primary, self.replica = (
            Server(folder / str(port), port, "--port", str(port), "--save", "", "--repl-diskless-sync-delay", "0")
            for port in ports
        )
        self.primary.start()
        self.replica.start()
        self._follow(self.replica, self.primary)
        self.settings = self._settings_of(self.primary)
        self.client = connect(self.settings)
        self.publisher = FramePublisher(self.settings, self.client)

    def close(self) -> None:
        self.publisher.close()
        for server in (self.replica, self.primary):
            server.kill()
            server.client.close()

    def frames(self, server: Server) -> list[bytes]:
        return [entry_id for entry_id, _ in server.client.xrange("{test}:frames")]

    def fail_over(self) -> None:
        """The two change places, and the publisher is led to the new primary, as Sentinels would lead it."""
        self.replica.client.execute_command("REPLICAOF", "NO", "ONE")
        self._follow(self.primary, self.replica)
        self.primary, self.replica = self.replica, self.primary
        self.client.connection_pool = connect(self._settings_of(self.primary)).connection_pool

    @staticmethod
    def _follow(server: Server, primary: Server) -> None:
        server.client.execute_command("REPLICAOF", "127.0.0.1", primary.port)
        wait_for(lambda: server.client.role()[3] == b"connected", "a replica in step")

    @staticmethod
    def _settings_of(server: Server) -> Settings:
        return settings_for(f"redis://127.0.0.1:{server.port}", redis__wait_replicas=1, redis__wait_timeout_ms=300)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    pair = Pair(tmp_path)
    yield pair
    pair.close()


def test_a_published_frame_is_at_the_replica(pair: Pair) -> None:
    for number in range(20):
        published = retried(pair.publisher, Frame("c1", b"image", seq=number))
        assert pair.frames(pair.replica)[-1] == published.id.encode()


def test_without_the_replica_a_frame_is_not_published_and_is_so_once_it_is_back(pair: Pair) -> None:
    first = retried(pair.publisher, Frame("c1", b"image"))
    frame = Frame("c1", b"image")
    pair.replica.pause()
    with pytest.raises(StreamUnavailable, match="0 of 1 replicas"):
        pair.publisher.publish(frame)
    # I expect the same on a new connection, for which WAIT need know of no write to wait for
    pair.client.connection_pool.disconnect()
    with pytest.raises(StreamUnavailable, match="0 of 1 replicas"):
        pair.publisher.publish(frame)
    pair.replica.resume()
    published = retried(pair.publisher, frame)
    assert pair.frames(pair.primary) == pair.frames(pair.replica) == [first.id.encode(), published.id.encode()]


def test_without_the_replica_a_drop_is_not_told_either(pair: Pair) -> None:
    url = f"redis://127.0.0.1:{pair.primary.port}"
    queue = {"queue__policy": "drop-newest", "queue__max_frames": 1}
    publisher = FramePublisher(settings_for(url, redis__wait_replicas=1, redis__wait_timeout_ms=300, **queue))
    assert retried(publisher, Frame("c1", b"image")).status == "accepted"
    pair.replica.pause()
    dropped = Frame("c1", b"image")
    with pytest.raises(StreamUnavailable, match="0 of 1 replicas"):
        publisher.publish(dropped)
    pair.replica.resume()
    assert retried(publisher, dropped).status == "dropped"
    counts = pair.replica.client.execute_command("HGETALL", LineKeys("test").ledger)
    assert counts[b"dropped:drop-newest"] == b"1"
    publisher.close()


def test_a_frame_that_was_lost_with_its_primary_is_published_again(pair: Pair) -> None:
    # Given a frame that only the primary has
    first = retried(pair.publisher, Frame("c1", b"image"))
    frame = Frame("c1", b"image")
    pair.replica.kill()
    with pytest.raises(StreamUnavailable):
        pair.publisher.publish(frame)
    # If the replica, which has not even the frame before, becomes the primary
    pair.replica.start()
    pair.fail_over()
    # I expect the frame to be published after all, once
    published = retried(pair.publisher, frame)
    assert pair.frames(pair.primary) == pair.frames(pair.replica) == [published.id.encode()] != [first.id.encode()]


def test_a_failover_between_a_frame_and_the_wait_for_replicas_does_not_pass_for_confirmed(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a replica that has the first frame and will not get the second one
    first = retried(pair.publisher, Frame("c1", b"image"))
    pair.replica.client.execute_command("REPLICAOF", "NO", "ONE")
    # If it becomes the primary right after the second frame
    ask_replicas = pair.client.execute_together

    def fail_over_before(*commands: tuple[Any, ...]) -> list[Any]:
        monkeypatch.undo()
        pair.fail_over()
        return ask_replicas(*commands)

    monkeypatch.setattr(pair.client, "execute_together", fail_over_before)
    frame = Frame("c1", b"image")
    with pytest.raises(StreamUnavailable):
        pair.publisher.publish(frame)
    # I expect it to be published at the new primary, once
    published = retried(pair.publisher, frame)
    assert pair.frames(pair.primary) == pair.frames(pair.replica) == [first.id.encode(), published.id.encode()]


def retried(publisher: FramePublisher, frame: Frame) -> Any:
    deadline = time.monotonic() + 30
    while True:
        try:
            return publisher.publish(frame)
        except StreamUnavailable:
            assert time.monotonic() < deadline
            time.sleep(0.05)
