"""Prometheus' alerts reach a webhook through a real Alertmanager, whose URL comes from a secret."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from ports import free_port
from system.prometheus import Prometheus

ENTRYPOINT = Path(__file__).parents[2] / "deploy" / "alertmanager" / "entrypoint.sh"
SECRET_URL = "https://hooks.example:8443/T0/B1;c?token=s3cr3t-%27&a=b"


def found(*names: str) -> str:
    for name in names:
        if path := shutil.which(name):
            return path
    pytest.skip(f"no {names[0]} on the PATH (apt install prometheus prometheus-alertmanager)")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "made" / "alertmanager.yml"


def make(config: Path, **environment: object) -> subprocess.CompletedProcess[str]:
    """Run the entrypoint with `cat` as Alertmanager, which fails on its option and shows nothing."""
    variables = {"ALERTMANAGER": "true", "ALERTMANAGER_CONFIG": str(config)} | {
        k: str(v) for k, v in environment.items()
    }
    command = ["sh", ENTRYPOINT]
    return subprocess.run(command, env=_path() | variables, capture_output=True, text=True, check=False)


def _path() -> dict[str, str]:
    return {"PATH": os.environ["PATH"]}


def receivers(config: Path) -> list[dict[str, Any]]:
    read: list[dict[str, Any]] = yaml.safe_load(config.read_text())["receivers"]
    return read


@pytest.mark.parametrize("way", ["environment", "file"])
def test_the_url_gets_into_the_configuration_and_into_nothing_else(config: Path, tmp_path: Path, way: str) -> None:
    if way == "file":
        (tmp_path / "url").write_text(SECRET_URL + "\n")
        done = make(config, ALERT_WEBHOOK_URL_FILE=tmp_path / "url")
    else:
        done = make(config, ALERT_WEBHOOK_URL=SECRET_URL)
    assert done.returncode == 0, done.stderr
    assert receivers(config) == [
        {"name": "people", "webhook_configs": [{"url": SECRET_URL, "send_resolved": True}]},
    ]
    assert "s3cr3t" not in done.stdout + done.stderr
    assert config.stat().st_mode & 0o077 == 0
    subprocess.run([found("amtool"), "check-config", config], check=True, capture_output=True)


def test_without_a_url_alerts_go_nowhere_and_it_says_so(config: Path) -> None:
    done = make(config)
    assert done.returncode == 0, done.stderr
    assert "no webhook" in done.stderr
    assert receivers(config) == [{"name": "people"}]
    subprocess.run([found("amtool"), "check-config", config], check=True, capture_output=True)


@pytest.mark.parametrize(
    "url",
    [
        "hooks.example/x",
        "https://",
        "file:///etc/passwd",
        "https://a.example/'\n    x: y",
        "https://a.example/ b",
        "http://a\x07",
    ],
)
def test_what_is_no_url_ends_it_without_being_shown(config: Path, url: str) -> None:
    done = make(config, ALERT_WEBHOOK_URL=url)
    assert done.returncode == 78
    assert "URL" in done.stderr
    assert url.removeprefix("https://") not in done.stderr or url == "https://"
    assert not config.exists()


def test_a_secret_that_is_named_and_not_there_ends_it(config: Path, tmp_path: Path) -> None:
    done = make(config, ALERT_WEBHOOK_URL_FILE=tmp_path / "none", ALERT_WEBHOOK_URL=SECRET_URL)
    assert done.returncode == 78
    assert "none" in done.stderr


@contextmanager
def receiver() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """An HTTP server that keeps what is POSTed to it; its URL, and that."""
    bodies: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/hook", bodies
        server.shutdown()


@contextmanager
def alertmanager(folder: Path, url: str) -> Iterator[int]:
    """A real one, started by our entrypoint; its port."""
    port = free_port()
    variables = {
        "ALERT_WEBHOOK_URL": url,
        "ALERTMANAGER": found("prometheus-alertmanager", "alertmanager"),
        "ALERTMANAGER_CONFIG": str(folder / "alertmanager.yml"),
    }
    options = [f"--storage.path={folder}", f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="]
    with (folder / "alertmanager.log").open("wb") as log:
        process = subprocess.Popen(["sh", ENTRYPOINT, *options], env=_path() | variables, stdout=log, stderr=log)
    try:
        wait_until(lambda: answers(port), "Alertmanager is ready")
        yield port
    finally:
        process.terminate()
        process.wait(30)


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/-/ready").status_code == 200
    except httpx.TransportError:
        return False


def wait_until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.1)


RULES = """
groups:
  - name: test
    rules:
      - {alert: NoWorkers, expr: up == 0, labels: {severity: critical, job: worker, line: a}}
      - {alert: CameraSilent, expr: up == 0, labels: {severity: critical, line: a}}
      - {alert: CameraSilent, expr: up == 0, labels: {severity: critical, line: b}}
      - {alert: RedisAway, expr: up == 0, labels: {severity: critical, line: c}}
      - {alert: DeadLettersGrowing, expr: up == 0, labels: {severity: critical, line: c}}
      - {alert: AlertProcessAway, expr: up == 0, labels: {severity: critical, job: alerts, line: d}}
      - {alert: TargetDown, expr: up == 0, labels: {severity: critical, job: alerts, line: d}}
"""


@pytest.mark.slow
def test_an_alert_reaches_the_webhook_and_what_follows_from_another_one_does_not(tmp_path: Path) -> None:
    executable = found("prometheus")
    (tmp_path / "rules.yml").write_text(RULES)
    with (
        receiver() as (url, bodies),
        alertmanager(tmp_path, url) as port,
        # Nobody listens at the target, so that it is down
        Prometheus(executable, tmp_path, {"worker": free_port()}, [tmp_path / "rules.yml"], port),
    ):

        def told() -> set[tuple[str, str]]:
            alerts = [alert for body in bodies for alert in body["alerts"]]
            return {(alert["labels"]["alertname"], alert["labels"]["line"]) for alert in alerts}

        wait_until(lambda: len(told()) >= 4, "four alerts are told")
    assert told() == {("NoWorkers", "a"), ("CameraSilent", "b"), ("RedisAway", "c"), ("AlertProcessAway", "d")}
    assert {body["status"] for body in bodies} == {"firing"}
