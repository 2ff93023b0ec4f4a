"""The YAML file of cameras: what is taken, what is refused, and that it publishes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import redis
from line_settings import settings_for

from worker.capture.cameras_file import read_cameras
from worker.capture.encode import Box, Size
from worker.capture.url import parse_source
from worker.errors import SettingsError
from worker.settings import Settings
from worker.types import Encoding

EXAMPLE = Path(__file__).parents[2] / "configs" / "cameras.yml"


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def write_file(text: str) -> Path:
        file = tmp_path / "cameras.yml"
        file.write_text(text)
        return file

    return write_file


@pytest.fixture
def settings(redis_url: str, tmp_path: Path) -> Settings:
    return settings_for(redis_url, state=str(tmp_path / "state"))


def wait_for(done: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def test_the_example_and_all_that_is_commented_out_in_it_is_valid(settings: Settings, tmp_path: Path) -> None:
    assert [camera.produce_options.camera for camera in read_cameras(EXAMPLE, settings)] == ["folder"]
    lines = EXAMPLE.read_text().splitlines()
    whole = [
        line.replace("# ", "", 1) if line.startswith("  # ") and "A folder" not in line else line for line in lines
    ]
    file = tmp_path / "whole.yml"
    file.write_text("\n".join(whole))
    cameras = {camera.produce_options.camera: camera for camera in read_cameras(file, settings)}
    assert set(cameras) == {"folder", "left", "right", "generated"}
    assert cameras["folder"].source_options.watched == tmp_path / "state" / "published" / settings.line / "folder.jsonl"
    login = cameras["left"].source_options.login
    assert login is not None
    assert (login.username, login.password_file) == ("viewer", Path("/run/cameras/left"))
    right = cameras["right"].produce_options.encode
    assert (right.crop, right.resize, right.encoding) == (Box(100, 0, 800, 800), Size(512, 512), Encoding.JPEG)
    assert cameras["right"].settings(settings).queue.policy == "drop-oldest"
    assert cameras["left"].settings(settings).queue.policy == settings.queue.policy


ENTRY = "cameras:\n  - name: a\n    source: ./x\n"


@pytest.mark.parametrize(
    ("text", "complaints"),
    [
        ("", ["line 1: must be a mapping"]),
        ("cameras: []", ["line 1: cameras: ", "at least 1 item"]),
        ("- name: a", ["must be a mapping"]),
        ("cameras:\n  - left\n", ["line 2", "must be a mapping"]),
        ("camera:\n  - name: a", ["line 1: camera: there is no such key; there are cameras", "cameras: is missing"]),
        (ENTRY + "    frames: 3\n", ["line 4: camera 'a', frames: there is no such key; there are name, source"]),
        (ENTRY + "    fps: fast\n", ["line 4: camera 'a', fps: ", "valid number", "got 'fast'"]),
        (ENTRY + "    fps: -1\n", ["line 4", "greater than or equal to 0"]),
        (ENTRY + "    fps: 1\n    fps: 2\n", ["line 5: fps is there twice"]),
        (ENTRY + "    crop: 1,2\n", ["line 4: camera 'a', crop: crop must be x,y,width,height"]),
        (ENTRY + "    resize: big\n", ["line 4: camera 'a', resize: size must be"]),
        (ENTRY + "    encoding: gif\n", ["line 4", "'jpeg', 'png'"]),
        (ENTRY + "    policy: panic\n", ["line 4", "drop-oldest"]),
        (ENTRY + "    loop: true\n    watch: true\n", ["line 2: camera 'a': watch is for a folder"]),
        (ENTRY + "    username: u\n", ["camera 'a': username and password_file go together"]),
        (ENTRY + "    username: u\n    password_file: p\n", ["username and password_file are for network cameras"]),
        (ENTRY + "  - name: a\n    source: 0\n", ["line 4: camera 'a', name: another camera has this name"]),
        ("cameras:\n  - source: 0\n", ["line 2: name: is missing"]),
        ("cameras:\n  - name: a b\n    source: 0\n", ["line 2: camera 'a b', name: ", "pattern"]),
        ("cameras:\n  - name: a\n    source: ftp://host/x\n", ["line 3: camera 'a', source: ", "schemes are"]),
        ("cameras:\n  - name: a\n    source: rtsp://h/x\n    loop: true\n", ["camera 'a': loop is for"]),
        ("cameras:\n  - {name: a, source: 1, fps: 1\n", ["is not YAML"]),
        ("a: &a [x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n", ["there is no such key"]),
        ("x: &x [*x]\n", ["there is no such key"]),
        ("!!python/object/apply:os.system [ls]", ["is not YAML"]),
        ("\x00", ["is not YAML"]),
    ],
)  # fmt: skip
def test_a_fault_is_told_with_its_line_and_camera(
    text: str, complaints: list[str], write: Callable[[str], Path], settings: Settings
) -> None:
    with pytest.raises(SettingsError) as caught:
        read_cameras(write(text), settings)
    for complaint in complaints:
        assert complaint in str(caught.value)


def test_all_faults_are_told_at_once(write: Callable[[str], Path], settings: Settings) -> None:
    with pytest.raises(SettingsError) as caught:
        read_cameras(write(ENTRY + "    fps: x\n  - name: b\n    source: 1\n    quality: 0\n"), settings)
    assert ["line 4" in line or "line 7" in line for line in str(caught.value).splitlines()] == [True, True]


def test_a_password_in_the_file_is_refused_and_not_repeated(write: Callable[[str], Path], settings: Settings) -> None:
    with pytest.raises(SettingsError, match="a password does not belong here") as caught:
        read_cameras(write("cameras:\n  - name: a\n    source: rtsp://user:s3cret@host/x\n"), settings)
    assert "s3cret" not in str(caught.value)


def test_a_file_that_is_not_there_too_large_or_no_text_is_refused(tmp_path: Path, settings: Settings) -> None:
    for content, complaint in ((None, "No such file"), (b"x" * (2**20 + 1), "bytes"), (b"\xff\xfe", "is not YAML")):
        file = tmp_path / "cameras.yml"
        file.unlink(missing_ok=True)
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(SettingsError, match=complaint):
            read_cameras(file, settings)
    with pytest.raises(SettingsError, match="cannot be read"):
        read_cameras(tmp_path, settings)


def test_a_login_is_put_into_the_url_and_read_anew(tmp_path: Path) -> None:
    url = parse_source("rtsp://camera.plant:8554/main?x=1")
    shown = url.with_login("me@home", "a/b:c@d#?%")  # type: ignore[union-attr]
    assert shown.url == "rtsp://me%40home:a%2Fb%3Ac%40d%23%3F%25@camera.plant:8554/main?x=1"
    assert shown.label == "rtsp://camera.plant:8554"
    assert shown.has_password


def command(file: Path, settings: Settings, *more: str) -> list[str]:
    url = settings.redis.url.get_secret_value()
    main = "from worker.cli import main; main()"
    return [
        sys.executable,
        "-c",
        main,
        "produce",
        "--cameras",
        str(file),
        "--redis",
        url,
        "--line",
        settings.line,
        *more,
    ]


def write_picture(file: Path) -> None:
    """Renamed into its place when it is whole."""
    file.parent.mkdir(exist_ok=True)
    pixels = np.random.default_rng(abs(hash(file.name)) % 2**32).integers(0, 256, (48, 64, 3), np.uint8)
    assert cv2.imwrite(str(file.with_name("half.tif")), pixels)
    (file.with_name("half.png")).write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    file.with_name("half.tif").unlink()
    file.with_name("half.png").rename(file)


class Running:
    """`produce --cameras` as a process; its log goes to a file."""

    def __init__(self, file: Path, settings: Settings) -> None:
        self.log = file.with_suffix(f".{time.monotonic_ns()}.log")
        environment = {"LINE_STATE": str(settings.state), "PATH": ""}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command(file, settings), stdout=subprocess.PIPE, stderr=log, text=True, env=environment
            )

    def end(self) -> dict[str, dict[str, int]]:
        self.process.send_signal(signal.SIGTERM)
        out, _ = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, self.log.read_text()
        tallies: dict[str, dict[str, int]] = json.loads(out)
        return tallies


def test_each_camera_publishes_a_wrong_one_holds_up_none_and_a_restart_repeats_nothing(
    write: Callable[[str], Path], settings: Settings, tmp_path: Path, client: redis.Redis
) -> None:
    pictures = tmp_path / "pictures"
    for number in range(3):
        write_picture(pictures / f"p{number}.png")
    file = write(
        f"cameras:\n  - {{name: folder, source: {pictures}, part_id_from: name}}\n"
        f"  - {{name: parts, source: 'test://?size=64&count=2'}}\n"
        f"  - {{name: later, source: {tmp_path}/later}}\n"
    )
    stream = f"{{{settings.line}}}:frames"

    def published(camera: str) -> list[str]:
        entries = client.execute_command("XRANGE", stream, "-", "+")
        frames = [dict(zip(flat[::2], flat[1::2], strict=True)) for _, flat in entries]
        return [frame.get(b"part_id", b"").decode() for frame in frames if frame[b"camera"] == camera.encode()]

    running = Running(file, settings)
    try:
        wait_for(lambda: len(published("folder")) == 3 and len(published("parts")) == 2, running.log.read_text())
        write_picture(pictures / "p3.png")
        write_picture(tmp_path / "later" / "l0.png")
        wait_for(lambda: len(published("folder")) == 4 and len(published("later")) == 1, running.log.read_text())
        assert running.process.poll() is None
    finally:
        tallies = running.end()
    assert {name: tally["published"] for name, tally in tallies.items()} == {"folder": 4, "parts": 2, "later": 1}
    assert tallies["later"]["outages"] == 1
    write_picture(pictures / "p4.png")
    running = Running(file, settings)
    try:
        wait_for(lambda: "p4" in published("folder"), running.log.read_text())
    finally:
        tallies = running.end()
    assert sorted(published("folder")) == ["p0", "p1", "p2", "p3", "p4"]
    assert tallies["folder"]["published"] == 1


def test_flags_that_belong_into_the_file_are_refused(write: Callable[[str], Path], settings: Settings) -> None:
    file = write(ENTRY)
    for more, complaint in ((["--fps", "3"], "--fps: with --cameras"), (["./y"], "Name a SOURCE")):
        ended = subprocess.run(command(file, settings, *more), capture_output=True, text=True, timeout=60, check=False)
        assert ended.returncode == 2
        assert complaint in ended.stderr


def test_a_wrong_file_ends_the_command_as_a_wrong_setting(write: Callable[[str], Path], settings: Settings) -> None:
    ended = subprocess.run(
        command(write(ENTRY + "    fps: x\n"), settings), capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 78
    assert "line 4: camera 'a', fps:" in ended.stderr
    assert "Traceback" not in ended.stderr
