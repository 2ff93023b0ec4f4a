"""`line-worker serve` as a process on a line that has its workers: its end, its warnings, its mistakes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from ports import free_port

from worker.gateway.document.openapi import ENDPOINT
from worker.settings import inherited_environment

from .service import HandWorker, base64_of, failed, wait_until

COMMAND = [sys.executable, "-m", "worker", "serve"]


class Serving:
    """A process that listens."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, output: Path) -> None:
        self.process = process
        self.url = f"http://127.0.0.1:{port}"
        self.output = output

    def post(self, picture: bytes) -> httpx.Response:
        return httpx.post(f"{self.url}{ENDPOINT}", json={"image": base64_of(picture)}, timeout=30)


@contextmanager
def serving(redis_url: str, folder: Path, *arguments: str, **settings: object) -> Iterator[Serving]:
    port = free_port()
    variables = {"LINE_REDIS__URL": redis_url, "LINE_LINE": "test", "LINE_LOG__FORMAT": "json"}
    variables |= {f"LINE_{name.upper()}": str(value) for name, value in settings.items()}
    output = folder / "serve.log"
    with output.open("wb") as log:
        process = subprocess.Popen(
            [*COMMAND, "--port", str(port), *arguments],
            env=inherited_environment() | variables,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        wait_until(lambda: process.poll() is not None or "listening" in output.read_text(), "the service")
        assert process.poll() is None, output.read_text()
        yield Serving(process, port, output)
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_once_what_is_in_flight_is_answered(
    hand: HandWorker, redis_url: str, tmp_path: Path, pictures: list[bytes], number: signal.Signals
) -> None:
    with serving(redis_url, tmp_path) as service, ThreadPoolExecutor(8) as clients:
        answers = [clients.submit(service.post, pictures[0]) for _ in range(4)]
        frames = hand.take(4)
        # When it is told to end
        service.process.send_signal(number)

        def refused() -> bool:
            try:
                httpx.get(f"{service.url}/health")
            except httpx.TransportError:
                return True
            return False

        # Then nobody new is let in, and who is there gets the verdict
        wait_until(refused, "a closed port")
        assert service.process.poll() is None
        for frame in frames:
            hand.finish(frame)
        assert [answer.result().status_code for answer in answers] == [200] * 4
        assert service.process.wait(10) == 0
    wait_until(lambda: hand.replies_left() == 0, "an empty reply stream", timeout_s=1)


def test_what_has_no_verdict_when_patience_ends_is_told_so(
    hand: HandWorker, redis_url: str, tmp_path: Path, pictures: list[bytes]
) -> None:
    with (
        serving(redis_url, tmp_path, work__drain_timeout_s=0.5) as service,
        ThreadPoolExecutor(1) as clients,
    ):
        answer = clients.submit(service.post, pictures[0])
        hand.take()
        began = time.monotonic()
        service.process.terminate()
        assert "the service ends" in failed(answer.result(), 503)
        assert service.process.wait(10) == 0
        assert time.monotonic() - began < 15  # and not the 30 s that a verdict may take


def test_who_listens_to_everybody_without_keys_is_warned(hand: HandWorker, redis_url: str, tmp_path: Path) -> None:
    with serving(redis_url, tmp_path, "--host", "0.0.0.0") as service:
        assert "WARNING: 0.0.0.0 is more than this machine" in service.output.read_text()
        assert httpx.get(f"{service.url}/ready").status_code == 200
    with serving(redis_url, tmp_path) as service:
        assert "WARNING" not in service.output.read_text()


def test_flags_for_workers_are_noted_where_there_are_none(hand: HandWorker, redis_url: str, tmp_path: Path) -> None:
    with serving(redis_url, tmp_path, "--device", "cpu:0", "--use_hpip") as service:
        assert "Note: devices, use_hpip: for workers" in service.output.read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--port", "0"], 78, "gateway.port (from flag)"),
        (["--host", "203.0.113.1"], 78, "gateway: cannot listen on 203.0.113.1:8080"),
        (["--pipeline", "ocr"], 78, "pipeline 'ocr'"),
        (["--pipeline", "/no/such.yaml"], 78, "pipeline /no/such.yaml"),
        (["--workers", "--model", "/no/such/model"], 66, "there is no such folder"),
        (["--workers", "--device", "tpu:0"], 78, "devices"),
    ],
)
def test_a_mistake_ends_it_at_once_with_what_is_wrong(
    redis_url: str, arguments: list[str], code: int, says: str
) -> None:
    environment = inherited_environment() | {"LINE_REDIS__URL": redis_url}
    ended = subprocess.run([*COMMAND, *arguments], env=environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, "Traceback" in ended.stderr) == (code, False), ended.stderr
    assert says in ended.stderr


def test_a_port_that_is_taken_is_told_before_the_model_is_loaded(
    hand: HandWorker, redis_url: str, tmp_path: Path
) -> None:
    with serving(redis_url, tmp_path) as service:
        port = service.url.rpartition(":")[2]
        environment = inherited_environment() | {"LINE_REDIS__URL": redis_url}
        ended = subprocess.run(
            [*COMMAND, "--port", port, "--workers", "--model", "."],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    assert ended.returncode == 78
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in ended.stderr
