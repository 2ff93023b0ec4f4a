"""The table «From PaddleX» in the README: what it says to write in place of PaddleX's is run, line by line."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import models
import pytest
import yaml
from ports import free_port

from worker import download
from worker.settings import inherited_environment

README = Path(__file__).parents[1] / "README.md"
COMMAND = [sys.executable, "-m", "worker"]
PICTURE = models.images(1)[0]


def rows() -> list[tuple[str, str]]:
    """PaddleX's call and ours, as the table has them."""
    section = README.read_text().partition("## From PaddleX\n")[2].partition("\n## ")[0]
    table = re.findall(r"^\| (.+?) \| `(.+)` \|$", section, re.MULTILINE)
    return [(theirs.strip("`"), ours) for theirs, ours in table]


ROWS = rows()
PYTHON = [ours for _, ours in ROWS if not ours.startswith(("line-worker ", "curl "))]
COMMANDS = [ours for _, ours in ROWS if ours.startswith("line-worker ") and not ours.startswith("line-worker serve")]
[SERVE] = [ours for _, ours in ROWS if ours.startswith("line-worker serve")]
CURLS = [ours for _, ours in ROWS if ours.startswith("curl ")]


def test_each_row_is_of_a_kind_that_is_run() -> None:
    assert len(PYTHON) + len(COMMANDS) + len(CURLS) + 1 == len(ROWS)
    assert len(ROWS) >= 20


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that the rows speak of."""
    folder = tmp_path_factory.mktemp("moved")
    (folder / "part.jpg").write_bytes(models.jpeg(PICTURE))
    (folder / "photos").mkdir()
    for number, image in enumerate(models.images(8)):
        (folder / "photos" / f"{number}.png").write_bytes(models.jpeg(image, ".png"))
    models.copy_to(folder / "model", name="part", version="1")
    (folder / "my_path").mkdir()
    model = {"model_name": "STFPM", "model_dir": "./model", "batch_size": 1}
    config = {"pipeline_name": "anomaly_detection", "SubModules": {"AnomalyDetection": model}}
    (folder / "my_path" / "anomaly_detection.yaml").write_text(yaml.safe_dump(config))
    (folder / "STFPM.yaml").write_text(yaml.safe_dump({"Global": {"model": "STFPM"}, "Train": {"epochs_iters": 1}}))
    (folder / "request.json").write_text(json.dumps({"image": base64.b64encode(models.jpeg(PICTURE)).decode()}))
    return folder


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the official model would be fetched from: an address of a real server here."""
    folder = tmp_path_factory.mktemp("official")
    with tarfile.open(folder / "STFPM_infer.tar", "w") as tar:
        for file in models.bare_export().iterdir():
            tar.add(file, f"STFPM_infer/{file.name}")

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(folder))

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/STFPM_infer.tar"
    server.shutdown()
    server.server_close()


@pytest.fixture
def environment(place: Path, official: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Of the commands: the official model is in the cache, fetched as it would be."""
    monkeypatch.setattr(download, "STFPM", dataclasses.replace(download.STFPM, url=official))
    download.fetch(download.STFPM, place / "cache" / "models")
    return inherited_environment() | {"LINE_CACHE": str(place / "cache")}


def test_python(
    place: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One program, as its rows stand."""
    monkeypatch.chdir(place)
    monkeypatch.setenv("LINE_CACHE", environment["LINE_CACHE"])
    names: dict[str, Any] = {"array": PICTURE}
    for row in PYTHON:
        exec(row, names)

    assert '"pred": "..."' in capsys.readouterr().out
    assert {"overlay.jpg"} < {path.name for path in (place / "output").iterdir()}
    assert names["res"]["verdict"] in ("OK", "NG")


@pytest.mark.parametrize("row", COMMANDS)
def test_command(row: str, place: Path, environment: dict[str, str]) -> None:
    if row.startswith("line-worker export ./model.training"):
        [train] = [other for other in COMMANDS if other.startswith("line-worker train ")]
        if not (place / "trained.training").exists():
            test_command(train, place, environment)
        shutil.copytree(place / "trained.training", place / "model.training")

    command = [*COMMAND, *shlex.split(row)[1:]]
    done = subprocess.run(command, cwd=place, env=environment, check=False, capture_output=True, text=True, timeout=150)

    assert done.returncode == 0, done.stderr
    for option in ("--output", "--save_path", "Global.output="):
        if option in row:
            target = row.partition(option)[2].split()[0].removeprefix("=")
            assert any((place / target).iterdir()), f"nothing in {target}"


@pytest.fixture(scope="module")
def service(place: Path) -> Iterator[int]:
    """The row that serves, on a port that is free."""
    port = free_port()
    environment = inherited_environment() | {"LINE_CACHE": str(place / "cache"), "LINE_METRICS__PORT": "0"}
    command = [*COMMAND, *shlex.split(SERVE.replace("8080", str(port)))[1:]]
    with (place / "serve.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=place, env=environment, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 120
        while True:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5):
                break
            assert process.poll() is None, (place / "serve.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.2)
        yield port
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.parametrize("row", CURLS)
def test_over_http(row: str, place: Path, service: int) -> None:
    """What `curl` would send, sent without it."""
    words = shlex.split(row)
    url = words[-1].replace("8080", str(service))
    data = (place / "request.json").read_bytes() if "-d" in words else None
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        said = json.load(answer)

    assert (said["errorCode"], bool(said["logId"])) == (0, True)
    if data:
        height, width = said["result"]["size"]
        assert len(said["result"]["labelMap"]) == height * width
        assert base64.b64decode(said["result"]["image"]).startswith(b"\xff\xd8")
