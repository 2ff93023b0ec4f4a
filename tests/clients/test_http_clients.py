"""The examples for HTTP, and whatever else was written for PaddleX's service, with the real one and a real worker."""

from __future__ import annotations

import base64
import io
import os
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from ports import free_port
from system.running import READY_TIMEOUT_S, RunningLine

from worker.demo import MODEL
from worker.gateway.access.key_file import add_key
from worker.inference.pictures import mask_jpeg
from worker.stream.embedded import EmbeddedRedis

from .examples import CLIENTS, HTTP, Client, Example

SAID = re.compile(r"(\w+): score (\S+), threshold (\S+), size (\d+) x (\d+), (\d+) anomalous pixels\n")
RATE_PER_S = 0.4


@pytest.fixture(scope="module")
def line(_default_server: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLine]:
    folder = tmp_path_factory.mktemp("line")
    with RunningLine(_default_server.url, folder, model=MODEL, engine="paddle", precision="fp32") as running:
        running.client.flushall()
        running.start("run", "run", "--devices", f"cpu:{min(os.sched_getaffinity(0))}")
        yield running


def serve(line: RunningLine, name: str, **settings: object) -> str:
    """Start a service; the URL for pictures."""
    port = free_port()
    line.start(name, "serve", "--port", str(port), **settings)

    def ready() -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/ready").status_code == 200
        except httpx.TransportError:
            return False

    line.wait_until(ready, READY_TIMEOUT_S, f"{name} is ready")
    return f"http://127.0.0.1:{port}/image-anomaly-detection"


@pytest.fixture(scope="module")
def url(line: RunningLine) -> str:
    return serve(line, "serve")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys") / "keys"


@pytest.fixture(scope="module")
def guarded_url(line: RunningLine, keys: Path) -> str:
    """A service that asks for a key, and takes one request in a while of each."""
    add_key(keys, "nobody")
    settings = {"keys_file": keys, "rate_per_s": RATE_PER_S, "rate_burst": 1}
    return serve(line, "guarded", **{f"gateway__{name}": value for name, value in settings.items()})


@pytest.fixture(params=HTTP, ids=lambda example: example.folder)
def client(request: pytest.FixtureRequest, built: Callable[[Example], Client]) -> Client:
    return built(request.param)


def test_a_good_part_is_ok(client: Client, url: str, parts: Path, tmp_path: Path) -> None:
    done = client.run(url, parts / "good.jpg", tmp_path / "out.jpg")

    assert (done.returncode, done.stderr) == (0, "")
    said = SAID.fullmatch(done.stdout)
    assert said
    assert (said[1], said[6]) == ("OK", "0")
    assert float(said[2]) <= float(said[3])
    picture = Image.open(tmp_path / "out.jpg")
    assert (picture.format, picture.height, picture.width) == ("JPEG", int(said[4]), int(said[5]))


def test_a_bad_part_is_ng(client: Client, line: RunningLine, url: str, parts: Path, tmp_path: Path) -> None:
    done = client.run(url, parts / "bad.jpg", tmp_path / "out.jpg")

    assert (done.returncode, done.stderr) == (1, "")
    said = SAID.fullmatch(done.stdout)
    assert said
    result = line.results()[-1]
    label_map = np.asarray(Image.open(io.BytesIO(result.label_map)))
    assert (said[1], float(said[2]), float(said[3])) == ("NG", result.score, result.threshold)
    assert (int(said[4]), int(said[5]), int(said[6])) == (*label_map.shape, np.count_nonzero(label_map))
    assert (tmp_path / "out.jpg").read_bytes() == mask_jpeg(label_map)


@pytest.mark.parametrize("file", ["broken.jpg", "black.jpg"])
def test_what_is_not_known_is_not_ok(client: Client, url: str, parts: Path, tmp_path: Path, file: str) -> None:
    image = base64.b64encode((parts / file).read_bytes()).decode()
    answer = httpx.post(url, json={"image": image}, timeout=30).json()
    assert answer["errorCode"] in (415, 422)

    done = client.run(url, parts / file, tmp_path / "out.jpg")

    assert (done.returncode, done.stdout) == (2, "")
    what = answer["errorMsg"].partition(" (frame")[0]
    assert f"{answer['errorCode']}: {what}" in done.stderr
    assert not (tmp_path / "out.jpg").exists()


def test_a_service_that_is_away_or_another_one_is_an_error(
    client: Client, url: str, parts: Path, tmp_path: Path
) -> None:
    away = f"http://127.0.0.1:{free_port()}/image-anomaly-detection"
    for wrong_url, said in ((away, "error"), (f"{url}s", "404")):
        done = client.run(wrong_url, parts / "good.jpg", tmp_path / "out.jpg")

        assert (done.returncode, done.stdout) == (2, "")
        assert said in done.stderr


def test_a_key_is_sent_and_each_client_waits_as_long_as_it_is_told(
    built: Callable[[Example], Client], guarded_url: str, keys: Path, parts: Path, tmp_path: Path
) -> None:
    clients = [built(example) for example in HTTP if not example.lacks(CLIENTS / example.folder)]
    image = base64.b64encode((parts / "good.jpg").read_bytes()).decode()

    def ask(client: Client) -> tuple[int, int, int]:
        """How the second request of a key in a row ends, how long that takes, and the end of one without a key."""
        key = add_key(keys, client.name)
        first = httpx.post(guarded_url, json={"image": image}, headers={"X-API-Key": key}, timeout=30)
        begin, output = time.monotonic(), tmp_path / f"{client.name}.jpg"
        second = client.run(guarded_url, parts / "good.jpg", output, LINE_API_KEY=key)
        took_s = time.monotonic() - begin
        assert second.returncode == 0, second.stderr
        assert took_s > 0.8
        without = client.run(guarded_url, parts / "good.jpg", output)
        assert "401: " in without.stderr
        return first.status_code, second.returncode, without.returncode

    with ThreadPoolExecutor(len(clients)) as pool:
        assert [*pool.map(ask, clients)] == [(200, 0, 2)] * len(clients)


@pytest.mark.parametrize(
    "kind", ["application/json", "application/json; charset=utf-8", "", "application/x-www-form-urlencoded"]
)
def test_what_paddlex_clients_send_gets_what_they_read(url: str, parts: Path, kind: str) -> None:
    """Whatever they call it: axios says that a string is a form, Go's http.NewRequest says nothing."""
    image = base64.b64encode((parts / "bad.jpg").read_bytes()).decode()
    headers = {"Content-Type": kind} if kind else {}

    response = httpx.post(url, content=f'{{"image": "{image}"}}', headers=headers, timeout=30)

    assert response.status_code == 200, response.text
    answer = response.json()
    assert (answer["errorCode"], answer["errorMsg"]) == (0, "Success")
    result = answer["result"]
    height, width = result["size"]
    assert len(result["labelMap"]) == height * width
    assert {*result["labelMap"]} == {0, 255}
    assert Image.open(io.BytesIO(base64.b64decode(result["image"]))).size == (width, height)
