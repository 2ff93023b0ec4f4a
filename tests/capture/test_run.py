"""Several cameras into a real Redis, and the command."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from ports import free_port

from worker.capture.measure import served_counts
from worker.capture.open import SourceOptions
from worker.capture.produce import ProduceOptions
from worker.capture.run import pair_sources, run_produce
from worker.errors import SourceError
from worker.settings import LimitSettings, Settings, load
from worker.stream.connection import Client
from worker.stream.fields import frame_from_fields
from worker.stream.keys import LineKeys
from worker.types import Frame

from .conftest import write_image

SMALL = "test://?size=64&count=3"


def frames_on(client: Client, keys: LineKeys) -> list[Frame]:
    entries = client.execute_command("XRANGE", keys.frames, "-", "+")
    return [frame_from_fields(entry_id.decode(), flat, LimitSettings(), time.time_ns()) for entry_id, flat in entries]


def command(settings: Settings, *arguments: str) -> list[str]:
    url = settings.redis.url.get_secret_value()
    main = "from worker.cli import main; main()"
    return [sys.executable, "-c", main, "produce", *arguments, "--redis", url, "--line", settings.line]


def test_frames_of_two_cameras_reach_the_stream(
    settings: Settings, client: Client, keys: LineKeys, tmp_path: Path
) -> None:
    data = write_image(tmp_path / "a.png")
    counted: list[tuple[str, str, int]] = []
    tallies = run_produce(
        settings,
        {"left": SMALL, "right": str(tmp_path)},
        SourceOptions(),
        ProduceOptions(),
        stop=threading.Event(),
        on_count=lambda *count: counted.append(count),
    )
    frames = frames_on(client, keys)
    assert [frame.seq for frame in frames if frame.camera == "left"] == [0, 1, 2]
    assert [frame.data for frame in frames if frame.camera == "right"] == [data]
    assert {name: tally["published"] for name, tally in tallies.items()} == {"left": 3, "right": 1}
    assert ("right", "bytes", len(data)) in counted


def test_one_camera_that_fails_does_not_hold_up_the_other(settings: Settings, client: Client, keys: LineKeys) -> None:
    sources = {"gone": "97", "good": SMALL}
    with pytest.raises(SourceError, match="/dev/video97"):
        run_produce(settings, sources, SourceOptions(reconnect=False), ProduceOptions(), stop=threading.Event())
    assert [frame.camera for frame in frames_on(client, keys)] == ["good"] * 3


def test_nothing_is_published_where_a_source_is_wrong(settings: Settings, client: Client, keys: LineKeys) -> None:
    with pytest.raises(SourceError, match="no file or folder"):
        run_produce(
            settings,
            {"good": SMALL, "bad": "nowhere"},
            SourceOptions(),
            ProduceOptions(),
            stop=threading.Event(),
        )
    assert frames_on(client, keys) == []


def test_the_command_publishes_and_sums_up(settings: Settings, client: Client, keys: LineKeys) -> None:
    arguments = command(settings, SMALL, "--camera", "c9", "--start-seq", "5", "--encoding", "mono8")
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["c9"]["published"] == 3
    assert [(frame.camera, frame.seq, frame.width) for frame in frames_on(client, keys)] == [
        ("c9", 5, 64),
        ("c9", 6, 64),
        ("c9", 7, 64),
    ]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_command_cleanly(number: int, settings: Settings) -> None:
    arguments = command(settings, "test://?size=64", "--fps", "50", "--policy", "drop-oldest")
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "producing" in process.stderr.readline()
        process.send_signal(number)
        out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "published" in json.loads(out)["c1"]


@pytest.mark.parametrize(
    ("arguments", "code", "hint"),
    [
        (["nowhere"], 66, "there is no file or folder nowhere"),
        (["test://?nope=1"], 66, "allowed are seed, size, count"),
        ([SMALL, "--crop", "1,2"], 66, "crop must be"),
        (["--encoding", "gif", SMALL], 2, "gif"),
        ([SMALL, "--policy", "panic"], 78, "drop-oldest"),
    ],
)
def test_a_wrong_argument_says_what_is_right(arguments: list[str], code: int, hint: str, settings: Settings) -> None:
    done = subprocess.run(command(settings, *arguments), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code
    assert hint in done.stderr
    assert "Traceback" not in done.stderr


def test_sources_are_paired_with_cameras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert pair_sources(["./x"], None) == {"c1": "./x"}
    assert pair_sources(["./x"], "c7") == {"c7": "./x"}
    assert pair_sources(["left=./x"], None) == {"left": "./x"}
    assert pair_sources(["test://?seed=1"], None) == {"c1": "test://?seed=1"}
    assert pair_sources(["a=0", "b=rtsp://h/user=u"], None) == {"a": "0", "b": "rtsp://h/user=u"}
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x=1").mkdir()
    assert pair_sources(["x=1"], None) == {"c1": "x=1"}


@pytest.mark.parametrize(
    ("texts", "camera", "hint"),
    [
        (["a=./x", "./y"], None, "name its camera, as in c1=./y"),
        (["a=./x", "a=./y"], None, "named twice"),
        (["./x", "./y"], "c1", "names one source"),
        (["./x"], "c 1", "allowed"),
    ],
)
def test_cameras_that_are_not_clear_are_refused(texts: list[str], camera: str | None, hint: str) -> None:
    with pytest.raises(SourceError, match=hint):
        pair_sources(texts, camera)


def test_counts_are_served_as_metrics(redis_url: str) -> None:
    port = free_port()
    settings = load({"redis.url": redis_url, "metrics.produce_port": port})[0]
    with served_counts(settings) as count:
        options = ProduceOptions(count=2)
        run_produce(settings, {"c1": SMALL}, SourceOptions(), options, stop=threading.Event(), on_count=count)
        text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    assert 'line_produced_frames_total{camera="c1",line="line1",outcome="published"} 2.0' in text
