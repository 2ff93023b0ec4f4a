"""The pieces of the benchmark: rates between batches, what is no inspection, processes that talk, variants."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import cv2
import pytest
from models import images

from worker.bench.crew import open_paddlex
from worker.bench.flow import Probe, commit_rate, flow_of
from worker.bench.frames import Shape, read_frames, write_frames
from worker.bench.talk import Talker
from worker.bench.usage import children, cpu_seconds, machine_cpu_seconds, memory_mb
from worker.bench.variants import Variant, parse_variants
from worker.errors import LineError, SourceError
from worker.settings import LimitSettings
from worker.types import Result, Verdict

MS = 1_000_000
SECOND = 1_000 * MS


def test_a_rate_is_counted_from_batch_to_batch() -> None:
    batches = [SECOND, SECOND, 2 * SECOND, 2 * SECOND, 2 * SECOND, 3 * SECOND]
    assert commit_rate(batches) == pytest.approx(2.0)  # four frames in the two seconds after the first batch


@pytest.mark.parametrize("times", [[], [SECOND], [SECOND, SECOND]])
def test_one_batch_makes_no_rate(times: list[int]) -> None:
    with pytest.raises(LineError, match="raise --seconds"):
        commit_rate(times)


def result(committed_ms: int, published_ms: int, verdict: Verdict = Verdict.OK) -> Result:
    timings = {"queue": 1.0, "infer": float(committed_ms - published_ms)}
    return Result(
        "1-0", "c", verdict, published_at=published_ms * MS, reason="dark: all", timings=timings, id=f"{committed_ms}-0"
    )


def test_a_flow_takes_verdicts_of_the_window_and_latencies_of_its_frames() -> None:
    began, ended = Probe(100 * MS, {"worker": 1.0}, 7.0, (0.5, 10)), Probe(400 * MS, {"worker": 1.3}, 7.36, (0.8, 40))
    results = [result(90, 50), result(150, 90), result(250, 200), result(350, 300), result(450, 380)]
    flow = flow_of(results, began, ended, is_starved=False)
    assert flow.fps == pytest.approx(10)
    assert flow.latencies_ms == [50, 50, 70]
    assert flow.stages_ms == pytest.approx({"queue": 1.0, "infer": 160 / 3, "commit": 10.0})
    assert flow.cpu_ms == pytest.approx({"worker": 100.0})
    assert flow.others_share == pytest.approx(0.06 / (0.3 * (os.cpu_count() or 1)))


def test_frames_that_no_model_saw_are_no_measurement() -> None:
    probe = Probe(0, {}, 0.0, (0, 0))
    with pytest.raises(LineError, match=r"not inspected \(1 INVALID dark\)"):
        flow_of([result(1, 0), result(2, 0, Verdict.INVALID)], probe, probe, is_starved=False)


def test_frames_are_the_same_pictures_in_every_shape(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for number, image in enumerate(images(3)):
        cv2.imwrite(str(tmp_path / "images" / f"{number}.png"), image)
    shapes = [Shape("96", (96, 96)), Shape("model", (64, 48))]
    assert write_frames(tmp_path / "frames", shapes, tmp_path / "images", 8, LimitSettings()) == 3
    for shape in shapes:
        frames = read_frames(tmp_path / "frames", shape.name)
        sizes = {cv2.imdecode(np_bytes(frame.data), cv2.IMREAD_COLOR).shape for frame in frames}
        assert (len(frames), sizes) == (3, {(shape.size[1], shape.size[0], 3)})


def np_bytes(data: bytes) -> object:
    import numpy as np

    return np.frombuffer(data, np.uint8)


def test_one_picture_is_not_enough(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "only.png"), images(1)[0])
    with pytest.raises(SourceError, match="one image is not enough"):
        write_frames(tmp_path / "frames", [Shape("model", (64, 64))], tmp_path, 8, LimitSettings())


def talker(tmp_path: Path, code: str, stop: threading.Event | None = None) -> Talker:
    command = [sys.executable, "-c", f"from worker.bench.talk import serve\nfrom worker.errors import *\n{code}"]
    return Talker("part", command, {}, tmp_path, stop or threading.Event())


def test_a_process_answers_and_may_print_what_it_likes(tmp_path: Path) -> None:
    with talker(
        tmp_path, "print('x')\nserve(lambda first: (first, lambda m: print('noise') or {'is': m['n'] + 1}))"
    ) as it:
        assert it.ask({"a": 1}, 20) == {"a": 1}
        assert [it.ask({"n": n}, 20)["is"] for n in range(3)] == [1, 2, 3]


def test_a_process_that_cannot_go_on_says_why(tmp_path: Path) -> None:
    code = "def begin(_): raise DeviceError('no such device')\nserve(begin)"
    with talker(tmp_path, code) as it, pytest.raises(LineError, match="no such device") as caught:
        it.ask({}, 20)
    assert caught.value.exit_code == 78


def test_a_process_that_dies_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    with (
        talker(tmp_path, "raise SystemExit('it broke')") as it,
        pytest.raises(LineError, match="exit code 1:\nit broke"),
    ):
        it.ask({}, 20)


def test_waiting_for_an_answer_ends_when_asked_to(tmp_path: Path) -> None:
    stop = threading.Event()
    with talker(tmp_path, "import time\ntime.sleep(60)", stop) as it:
        stop.set()
        with pytest.raises(KeyboardInterrupt):
            it.ask({}, 20)


def test_a_python_without_paddlex_is_told(tmp_path: Path) -> None:
    if __import__("importlib.util").util.find_spec("paddlex"):
        pytest.skip("this one has it")
    with (
        pytest.raises(LineError, match="No module named 'paddlex'"),
        open_paddlex(Path(sys.executable), tmp_path, tmp_path, tmp_path, threading.Event()),
    ):
        pass


def test_variants_are_read_from_a_list() -> None:
    assert parse_variants("auto, openvino:bf16,all") == [
        Variant("auto", "auto"), Variant("openvino", "bf16"), Variant("all", "all"),
    ]  # fmt: skip


def test_usage_of_this_process() -> None:
    now, peak = memory_mb(os.getpid())
    assert peak >= now > 10
    assert machine_cpu_seconds() > cpu_seconds(os.getpid()) > 0
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        assert sleeper.pid in children(os.getpid())
        sleeper.kill()
