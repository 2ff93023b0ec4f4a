"""TLS to Redis with certificates made here: who is trusted, who is not, and what is said then."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from line_settings import settings_for
from ports import free_ports
from redis_servers import Server, wait_for

from worker.errors import SettingsError, StreamUnavailable
from worker.settings import Settings
from worker.stream.connection import connect, stream_errors
from worker.stream.embedded import find_server

from .line_of_frames import Line


def _speaks_tls() -> bool:
    """Whether the server knows the option at all; with this value none starts."""
    said = subprocess.run([find_server(), "--tls-port", "nonsense"], capture_output=True, check=False)
    return b"Bad directive" not in said.stdout + said.stderr


pytestmark = pytest.mark.skipif(not _speaks_tls(), reason=f"{find_server()} was built without TLS")


class House:
    """Two authorities, certificates of both, and the servers that show or ask for them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.servers: list[Server] = []
        ours, theirs = trustme.CA(), trustme.CA()
        self.authorities = {"ours": ours, "theirs": theirs}
        for name, authority in self.authorities.items():
            authority.cert_pem.write_to_path(str(folder / f"{name}-ca.pem"))
            self.certificate(f"{name}-client", authority.issue_cert("client"))

    def certificate(self, name: str, certificate: trustme.LeafCert) -> None:
        certificate.cert_chain_pems[0].write_to_path(str(self.folder / f"{name}.pem"))
        certificate.private_key_pem.write_to_path(str(self.folder / f"{name}.key"))

    def file(self, name: str) -> str:
        return str(self.folder / name)

    def server(
        self, name: str, *hosts: str, ask: bool = False, options: tuple[str, ...] = (), **validity: Any
    ) -> Server:
        """A server that speaks TLS only, with a certificate for these hosts; `ask`: clients must show theirs."""
        self.certificate(name, self.authorities["ours"].issue_cert(*hosts, **validity))
        (port,) = free_ports(1, second_at=10_000)  # a Cluster's bus
        client_options = {"ssl": True, "ssl_cert_reqs": "none", "ssl_check_hostname": False}
        client_options |= {"ssl_certfile": self.file("ours-client.pem"), "ssl_keyfile": self.file("ours-client.key")}
        server = Server(
            self.folder / name, port, *options, "--port", "0", "--tls-port", str(port), "--tls-replication", "yes",
            "--tls-cert-file", self.file(f"{name}.pem"), "--tls-key-file", self.file(f"{name}.key"),
            "--tls-ca-cert-file", self.file("ours-ca.pem"), "--tls-auth-clients", "yes" if ask else "no",
            sentinel="--sentinel" in options, tls=client_options,
        )  # fmt: skip
        self.servers.append(server)
        return server

    def started(self, *args: Any, **options: Any) -> Server:
        server = self.server(*args, **options)
        server.start()
        return server


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = House(tmp_path_factory.mktemp("tls"))
    yield house
    for server in house.servers:
        server.kill()
        server.client.close()


@pytest.fixture(scope="module")
def open_port(house: House) -> int:
    """A server for whoever trusts it."""
    return house.started("open", "localhost").port


@pytest.fixture(scope="module")
def mutual_port(house: House) -> int:
    """A server that wants to see a certificate."""
    return house.started("mutual", "localhost", "127.0.0.1", ask=True).port


def asking(port: int, host: str = "localhost", **files: str) -> Settings:
    return settings_for(f"rediss://{host}:{port}", **{f"redis__{name}": path for name, path in files.items()})


def ping(settings: Settings) -> bytes:
    client = connect(settings)
    try:
        with stream_errors():
            return bytes(client.execute_command("PING"))
    finally:
        client.close()


def test_a_frame_goes_its_way_over_tls_with_certificates_on_both_sides(house: House, mutual_port: int) -> None:
    line = Line(
        asking(
            mutual_port,
            ca_file=house.file("ours-ca.pem"),
            cert_file=house.file("ours-client.pem"),
            key_file=house.file("ours-client.key"),
        )
    )
    frame = line.publish(data=b"x" * 2**20)
    assert [one.id for one in line.consumer("w1").read(1)] == [frame.id]
    assert line.finish(frame.id) == [True]
    assert line.books().difference == 0
    line.close()


def test_certificate_and_key_may_be_in_one_file(house: House, mutual_port: int) -> None:
    both = Path(house.file("both.pem"))
    both.write_bytes(b"".join(Path(house.file(f"ours-client.{kind}")).read_bytes() for kind in ("pem", "key")))
    assert ping(asking(mutual_port, "127.0.0.1", ca_file=house.file("ours-ca.pem"), cert_file=str(both))) == b"PONG"


@pytest.mark.parametrize("authority", ["theirs", None])
def test_a_certificate_of_an_authority_that_is_not_trusted_is_a_wrong_setting(
    authority: str | None, house: House, open_port: int
) -> None:
    files = {"ca_file": house.file(f"{authority}-ca.pem")} if authority else {}
    with pytest.raises(SettingsError, match=r"redis\.ca_file: the certificate of Redis is not accepted"):
        ping(asking(open_port, **files))


def test_a_certificate_for_another_host_is_a_wrong_setting(house: House, open_port: int) -> None:
    assert ping(asking(open_port, ca_file=house.file("ours-ca.pem"))) == b"PONG"
    with pytest.raises(SettingsError, match=r"redis\.ca_file: .*not valid for '127\.0\.0\.1'"):
        ping(asking(open_port, "127.0.0.1", ca_file=house.file("ours-ca.pem")))


def test_an_expired_certificate_is_waited_for_since_a_new_one_mends_it(house: House) -> None:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    server = house.started("expired", "localhost", not_before=yesterday - timedelta(days=1), not_after=yesterday)
    with pytest.raises(StreamUnavailable, match="expired"):
        ping(asking(server.port, ca_file=house.file("ours-ca.pem")))


def test_who_shows_no_certificate_where_one_is_asked_for_is_told(house: House, mutual_port: int) -> None:
    # The server's reason may be overtaken by the end of the connection.
    with pytest.raises((SettingsError, StreamUnavailable), match=r"redis\.cert_file: Redis does not accept|reached"):
        ping(asking(mutual_port, ca_file=house.file("ours-ca.pem")))


def test_a_certificate_of_another_authority_is_not_let_in(house: House, mutual_port: int) -> None:
    files = {"cert_file": house.file("theirs-client.pem"), "key_file": house.file("theirs-client.key")}
    with pytest.raises((SettingsError, StreamUnavailable)):
        ping(asking(mutual_port, ca_file=house.file("ours-ca.pem"), **files))


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"ca_file": "none.pem"}, r"redis\.ca_file .*none\.pem: No such file"),
        ({"ca_file": "ours-client.key"}, r"redis\.ca_file .*ours-client\.key: not the PEM file"),
        ({"cert_file": "none.pem"}, r"redis\.cert_file .*none\.pem.*: No such file"),
        ({"cert_file": "ours-client.pem"}, r"redis\.cert_file .*ours-client\.pem.*is a key in it"),
        ({"cert_file": "ours-client.pem", "key_file": "theirs-client.key"}, "KEY_VALUES_MISMATCH"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_before_anything_is_sent(
    files: dict[str, str], said: str, house: House
) -> None:
    with pytest.raises(SettingsError, match=said):
        connect(asking(1, **{name: house.file(path) for name, path in files.items()}))


def test_whoever_speaks_without_tls_gets_nowhere(open_port: int) -> None:
    with pytest.raises(StreamUnavailable):
        ping(settings_for(f"redis://localhost:{open_port}"))


def test_sentinels_and_the_primary_that_they_name_are_reached_over_tls(house: House) -> None:
    primary = house.started("primary", "127.0.0.1", ask=True)
    sentinel = house.server("sentinel", "localhost", ask=True, options=("sentinel.conf", "--sentinel"))
    config = house.folder / "sentinel" / "sentinel.conf"
    config.write_text(f"dir {config.parent}\nsentinel monitor line 127.0.0.1 {primary.port} 1\n")
    sentinel.start()
    files = {
        "redis__ca_file": house.file("ours-ca.pem"),
        "redis__cert_file": house.file("ours-client.pem"),
        "redis__key_file": house.file("ours-client.key"),
    }
    assert ping(settings_for(f"rediss+sentinel://localhost:{sentinel.port}/line", **files)) == b"PONG"
    with pytest.raises(SettingsError, match=r"redis\.ca_file: .*not valid for '127\.0\.0\.1'"):  # a Sentinel's too
        ping(settings_for(f"rediss+sentinel://127.0.0.1:{sentinel.port}/line", **files))


def test_a_cluster_is_reached_over_tls(house: House) -> None:
    options = ("--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--tls-cluster", "yes")
    node = house.started("node", "127.0.0.1", options=options)
    node.client.execute_command("CLUSTER", "ADDSLOTS", *range(16384))
    wait_for(lambda: node.client.execute_command("CLUSTER INFO")["cluster_state"] == "ok", "a Cluster")
    # It does not know its own address: what it is asked at is taken.
    url = f"rediss+cluster://127.0.0.1:{node.port}"
    assert ping(settings_for(url, redis__ca_file=house.file("ours-ca.pem"))) == b"PONG"
