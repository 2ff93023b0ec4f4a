"""What the services of docker-compose.yml and its overrides start with: run here, with the programs that are here."""

from __future__ import annotations

import http.server
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import paho.mqtt.client as mqtt
import pytest
from ports import free_port
from stream.guarded import GuardedRedis, server_with_selectors

DEPLOY = Path(__file__).parents[2] / "deploy"
COMPOSE = DEPLOY / "compose"
READERS = ("redis", "worker", "alerts", "gateway", "cameras", "operator", "grafana")


def wait_for(done: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def on_path(program: str) -> str:
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.skip(f"needs {program} on the PATH")
    return found


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """Folders as the volumes are mounted."""
    root = tmp_path / "secrets"
    for reader in READERS:
        (root / reader).mkdir(parents=True)
    return root


def make_secrets(root: Path) -> dict[str, str]:
    environment = os.environ | {"SECRETS_ROOT": str(root)}
    subprocess.run(["sh", COMPOSE / "secrets.sh"], env=environment, check=True, timeout=60)
    return {str(file.relative_to(root)): file.read_text() for file in root.rglob("*") if file.is_file()}


def test_each_service_gets_its_own_secrets_and_a_second_run_changes_none(secrets: Path) -> None:
    made = make_secrets(secrets)
    assert {name.split("/")[0] for name in made} == set(READERS)
    for user in ("worker", "alerts", "gateway"):
        own = {name for name in made if name.startswith(f"{user}/")}
        assert f"{user}/redis_{user}_password" in own
        assert not any("redis_" in name and user not in name.partition("/")[2] for name in own)
        assert made[f"{user}/redis_{user}_password"] == made[f"redis/redis_{user}_password"]
    assert {name for name in made if name.startswith("cameras/")} == {
        "cameras/redis_camera_password",
        "cameras/redis_camera-evict_password",
    }
    originals = [made[name] for name in made if name.startswith("redis/")]
    assert len(set(originals)) == len(originals) == 8
    assert len({made["grafana/grafana_admin_password"], made["alerts/webhook_secret"], *originals}) == 10
    assert all(len(text) == 48 for text in made.values())
    for file in secrets.rglob("*_password"):
        assert file.stat().st_mode & 0o777 == 0o440
    assert make_secrets(secrets) == made


def test_what_a_power_cut_left_half_is_made_whole(secrets: Path) -> None:
    for name in ("redis/redis_worker_password.new", "worker/redis_worker_password.new"):
        (secrets / name).write_text("half")
        (secrets / name).chmod(0o440)
    made = make_secrets(secrets)
    assert made["worker/redis_worker_password"] == made["redis/redis_worker_password"]
    assert not any(name.endswith(".new") for name in made)


def test_a_password_that_was_made_anew_reaches_its_service(secrets: Path) -> None:
    before = make_secrets(secrets)
    (secrets / "redis" / "redis_worker_password").unlink()
    after = make_secrets(secrets)
    assert after["worker/redis_worker_password"] == after["redis/redis_worker_password"]
    assert after["worker/redis_worker_password"] != before["worker/redis_worker_password"]
    assert after["gateway/redis_gateway_password"] == before["gateway/redis_gateway_password"]


def test_redis_waits_for_its_passwords(secrets: Path, tmp_path: Path) -> None:
    port = free_port()
    variables = {
        "REDIS_SECRETS_DIR": str(secrets / "redis"),
        "REDIS_SECRETS_WAIT": "60",
        "REDIS_ACL_FILE": str(tmp_path / "users.acl"),
        "REDIS_SERVER": server_with_selectors(),
    }
    process = subprocess.Popen(
        ["sh", DEPLOY / "redis" / "entrypoint.sh", "--port", str(port), "--bind", "127.0.0.1", "--dir", tmp_path],
        env=os.environ | variables, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        time.sleep(1.5)
        assert process.poll() is None
        make_secrets(secrets)
        wait_for(lambda: is_open(port), "Redis listens")
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("command", [["alerts"], ["produce", "test://?size=64", "--fps", "5"]])
def test_a_service_that_is_there_before_its_password_ends_for_a_restart_and_then_joins(
    command: list[str], tmp_path: Path
) -> None:
    user = {"alerts": "alerts", "produce": "camera"}[command[0]]
    password = tmp_path / "password"
    with GuardedRedis(tmp_path, free_port()) as server:
        environment = {
            "PATH": os.environ["PATH"],
            "LINE_REDIS__URL": f"redis://127.0.0.1:{server.port}/0",
            "LINE_REDIS__USERNAME": user,
            "LINE_REDIS__PASSWORD_FILE": str(password),
            "LINE_METRICS__ALERTS_PORT": "0",
        }
        log = tmp_path / "service.log"

        def start() -> subprocess.Popen[bytes]:
            with log.open("wb") as file:
                return subprocess.Popen([sys.executable, "-m", "worker", *command], env=environment, stderr=file)

        early = start()
        assert early.wait(60) == 78, log.read_text()
        assert f"redis.password_file {password}: No such file" in log.read_text()
        password.write_text(server.password(user))
        late = start()
        try:
            wait_for(lambda: user.encode() in server.admin.execute_command("CLIENT", "LIST"), log.read_text())
            assert late.poll() in (None, 0)
        finally:
            late.terminate()
            assert late.wait(60) == 0, log.read_text()


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    on_path("openssl")
    folder = tmp_path / "certs"
    subprocess.run(
        [COMPOSE / "make-certs.sh", folder, "box1.plant.example", "10.0.0.5"], check=True, capture_output=True
    )
    return folder


def test_certificates_are_made_once_and_their_keys_are_for_nobody_else(certificates: Path) -> None:
    made = {file.name: file.read_bytes() for file in certificates.iterdir()}
    assert {"ca.crt", "ca.key", "redis.crt", "redis.key", "gateway.crt", "gateway.key", "mqtt.crt", "mqtt.key"} <= set(
        made
    )
    for file in certificates.glob("*.key"):
        assert file.stat().st_mode & 0o007 == 0
    assert (certificates / "ca.key").stat().st_mode & 0o077 == 0
    (certificates / "mqtt.crt").unlink()
    subprocess.run([COMPOSE / "make-certs.sh", certificates, "box1"], check=True, capture_output=True)
    again = {file.name: file.read_bytes() for file in certificates.iterdir()}
    assert again["redis.crt"] == made["redis.crt"]
    assert again["mqtt.crt"] != made["mqtt.crt"]


@pytest.mark.parametrize("name", ["a b", "x,DNS:evil.example", "", "-x", "$(id)"])
def test_a_name_that_is_none_gets_no_certificate(name: str, tmp_path: Path) -> None:
    refused = subprocess.run(
        [COMPOSE / "make-certs.sh", tmp_path / "certs", name], capture_output=True, text=True, check=False
    )
    assert refused.returncode == 2
    assert "neither a name nor an address" in refused.stderr
    assert not (tmp_path / "certs").exists()


class Broker:
    """The broker of mqtt.yml on free ports."""

    def __init__(self, tmp_path: Path, certs: Path) -> None:
        on_path("mosquitto")
        on_path("mosquitto_passwd")
        self.secrets, self.certs = tmp_path / "secrets", certs
        self.ports = {"MQTT_PORT": free_port(), "MQTTS_PORT": free_port()}
        folders = {"MQTT_RUN_DIR": tmp_path / "run", "MQTT_DATA_DIR": tmp_path / "data"}
        for folder in folders.values():
            folder.mkdir()
        scripts = tmp_path / "mqtt"
        shutil.copytree(COMPOSE / "mqtt", scripts)
        if os.getuid() == 0:  # in the container it is another user from the start
            with (scripts / "mosquitto.conf").open("a") as file:
                file.write("user root\n")
        variables = folders | self.ports | {"MQTT_SECRETS_DIR": self.secrets, "MQTT_CERTS_DIR": certs}
        environment = os.environ | {name: str(value) for name, value in variables.items()}
        environment["PATH"] += ":/usr/sbin"
        self._process = subprocess.Popen(["sh", scripts / "entrypoint.sh"], env=environment)
        wait_for(lambda: is_open(self.ports["MQTT_PORT"]) or self._process.poll() is not None, "the broker listens")
        assert self._process.poll() is None

    def password(self, user: str) -> str:
        return (self.secrets / "mqtt" / f"mqtt_{user}_password").read_text()

    def client(self, user: str = "", password: str = "", tls: bool = False) -> mqtt.Client:
        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        if user:
            client.username_pw_set(user, password)
        if tls:
            client.tls_set(ca_certs=str(self.certs / "ca.crt"))
        client.connect("localhost", self.ports["MQTTS_PORT" if tls else "MQTT_PORT"])
        client.loop_start()
        return client

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(30)


@pytest.fixture
def broker(secrets: Path, tmp_path: Path, certificates: Path) -> Iterator[Broker]:
    (secrets / "mqtt").mkdir()
    make_secrets(secrets)
    # As in the container, where the broker sees its own folder alone
    for file in (secrets / "mqtt").iterdir():
        shutil.copy(file, secrets / file.name)
    broker = Broker(tmp_path, certificates)
    yield broker
    broker.close()


def test_the_broker_lets_the_alert_process_write_a_subscriber_read_and_nobody_else_in(broker: Broker) -> None:
    assert (broker.secrets / "alerts" / "mqtt_line-worker_password").read_text() == broker.password("line-worker")
    writer = broker.client("line-worker", broker.password("line-worker"))
    reader = broker.client("subscriber", broker.password("subscriber"), tls=True)
    seen: list[tuple[str, bytes]] = []
    reader.on_message = lambda _client, _data, message: seen.append((message.topic, message.payload))
    wait_for(lambda: reader.is_connected() and writer.is_connected(), "both are let in")
    reader.subscribe("line-worker/#", qos=1)
    for stranger in (broker.client(), broker.client("subscriber", "wrong"), broker.client("line-worker")):
        refused: list[int] = []
        stranger.on_connect_fail = lambda *_: None
        stranger.on_disconnect = lambda *arguments, refused=refused: refused.append(1)
        wait_for(lambda refused=refused: refused, "a stranger is sent away")
        assert not stranger.is_connected()
        stranger.loop_stop()

    def heard() -> bool:
        reader.publish("line-worker/line1/alerts", b"forged", qos=1)
        writer.publish("elsewhere", b"out of bounds", qos=1, retain=True)
        writer.publish("line-worker/line1/alerts", b"raised", qos=1)
        return bool(seen)

    wait_for(heard, "the subscriber hears what the alert process writes")
    assert set(seen) == {("line-worker/line1/alerts", b"raised")}
    for client in (writer, reader):
        client.disconnect()
        client.loop_stop()


class _Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{self.path} of {self.headers['Host']}".encode())

    def log_message(self, *_: object) -> None:
        pass


def test_https_leads_to_the_gateway_which_may_come_later(tmp_path: Path, certificates: Path) -> None:
    haproxy = on_path("haproxy")
    https, alive, gateway = free_port(), free_port(), free_port()
    text = (COMPOSE / "https" / "haproxy.cfg").read_text()
    for ours, here in {
        ":8443": f"127.0.0.1:{https}",
        "127.0.0.1:8081": f"127.0.0.1:{alive}",
        "gateway:8080 resolvers names": f"127.0.0.1:{gateway}",
        "/certs/": f"{certificates}/",
        "log stdout": "log stderr",
    }.items():
        assert ours in text
        text = text.replace(ours, here)
    file = tmp_path / "haproxy.cfg"
    file.write_text(text)
    context = ssl.create_default_context(cafile=certificates / "ca.crt")
    process = subprocess.Popen([haproxy, "-W", "-f", file])
    try:
        wait_for(lambda: is_open(alive) or process.poll() is not None, "it starts without the gateway")
        assert urllib.request.urlopen(f"http://127.0.0.1:{alive}/alive").status == 200
        with httpx.Client(verify=context, base_url=f"https://localhost:{https}") as client:
            assert client.get("/health").status_code == 503
            server = http.server.ThreadingHTTPServer(("127.0.0.1", gateway), _Answer)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            wait_for(lambda: client.get("/x?y=1").status_code == 200, "the gateway is found once it is there")
            assert client.get("/x?y=1").text == f"/x?y=1 of localhost:{https}"
            server.shutdown()
    finally:
        process.terminate()
        process.wait(30)
