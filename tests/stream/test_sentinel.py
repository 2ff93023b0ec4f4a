"""Sentinels: each failover leads camera and worker to the new primary, with no frame lost or doubled on the way."""

from __future__ import annotations

from pathlib import Path

import pytest
from line_settings import settings_for
from ports import free_ports
from redis_servers import SentinelTrio, Server, wait_for

from worker.errors import SettingsError
from worker.settings import Settings
from worker.stream.connection import connect, stream_errors

from .traffic import Traffic


def watched_by(trio: SentinelTrio) -> Settings:
    return settings_for(trio.url, redis__timeout_s=1, redis__wait_replicas=1)


def ours_at(server: Server) -> list[str]:
    names = [str(one.get("name", "")) for one in server.client.client_list(_type="normal")]
    return [name for name in names if name.startswith("line-worker")]


@pytest.mark.slow
def test_a_killed_primary_is_left_for_the_new_one_and_nothing_is_lost_or_doubled() -> None:
    with SentinelTrio() as trio, Traffic(watched_by(trio)) as traffic:
        traffic.wait_for_more()
        old = trio.kill_primary()
        traffic.wait_for_more()
        assert trio.wait_for_failover(old) is not old
        books, results = traffic.finish()
        assert results == traffic.expected()
        assert books.difference == 0
        assert traffic.troubles  # it was noticed


@pytest.mark.slow
def test_a_primary_that_hangs_is_left_and_what_it_does_on_waking_changes_nothing() -> None:
    with SentinelTrio() as trio, Traffic(watched_by(trio)) as traffic:
        traffic.wait_for_more()
        old = trio.pause_primary()
        traffic.wait_for_more()
        # It wakes as a primary, with the requests in hand that nobody waits for any more, and is then demoted
        old.resume()
        traffic.wait_for_more()
        trio.wait_for_replicas()
        books, results = traffic.finish()
        assert results == traffic.expected()
        assert books.difference == 0


@pytest.mark.slow
def test_a_primary_that_is_demoted_while_all_is_well_is_left() -> None:
    """It lives on, takes writes until the Sentinels demote it and answers reads after: nobody may stay with it, and no
    frame count as published there. For that the heir must be among those that confirm: `wait_replicas` is all of them.
    """
    with SentinelTrio(replicas=1) as trio, Traffic(watched_by(trio)) as traffic:
        traffic.wait_for_more()
        old = trio.failover()
        traffic.wait_for_more()
        wait_for(lambda: not ours_at(old), "everybody gone from the old primary")
        books, results = traffic.finish()
        assert results == traffic.expected()
        assert books.difference == 0


def test_sentinels_and_servers_have_logins_of_their_own(tmp_path: Path) -> None:
    # Given a primary with one password and a Sentinel with another
    ports = free_ports(2)
    primary = Server(tmp_path / "primary", ports[0], "--port", str(ports[0]), "--save", "", "--requirepass", "servers")
    sentinel = Server(tmp_path / "sentinel", ports[1], "sentinel.conf", "--sentinel", sentinel=True)
    (tmp_path / "sentinel" / "sentinel.conf").write_text(
        f"port {ports[1]}\nbind 127.0.0.1\nrequirepass sentinels\n"
        f"sentinel monitor line 127.0.0.1 {ports[0]} 1\nsentinel auth-pass line servers\n"
    )
    secret = tmp_path / "secret"
    secret.write_text("sentinels\n")
    url = f"redis+sentinel://:servers@127.0.0.1:{ports[1]}"

    def ping(url: str, **flags: object) -> bytes:
        client = connect(settings_for(url, **flags))
        try:
            with stream_errors():
                return bytes(client.execute_command("PING"))
        finally:
            client.close()

    try:
        primary.start()
        sentinel.start()
        assert ping(f"{url}/line", redis__sentinel_password_file=secret) == b"PONG"
        # I expect a wrong login at either, and a service that nobody watches, to be wrong settings
        with pytest.raises(SettingsError, match="login"):
            ping(f"{url}/line")
        with pytest.raises(SettingsError, match="login"):
            ping(f"{url.replace('servers', 'wrong')}/line", redis__sentinel_password_file=secret)
        with pytest.raises(SettingsError, match="none of the Sentinels watches a service called 'lime'"):
            ping(f"{url}/lime", redis__sentinel_password_file=secret)
    finally:
        for server in (sentinel, primary):
            server.kill()
            server.client.close()
