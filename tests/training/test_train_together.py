"""Several processes that fit one student, as on several GPUs."""

import os
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from worker.capture.generated import GeneratedLine
from worker.devices import VISIBLE_DEVICES
from worker.inference.bundle import load_bundle


@pytest.mark.long
@pytest.mark.slow
def test_two_processes_fit_one_student_and_the_first_writes_the_model(tmp_path: Path) -> None:
    good = tmp_path / "good"
    good.mkdir()
    for seq in range(10):
        cv2.imwrite(str(good / f"{seq}.png"), GeneratedLine(3, size=64).render(seq, "good").image[:, :, ::-1])
    launch = [sys.executable, "-m", "paddle.distributed.launch", "--nproc_per_node", "2", "--log_dir", tmp_path / "log"]
    recipe = ["--teacher", "random", "--size", "64x64", "--batch-size", "4", "--epochs", "2", "--no-graphs"]
    command = [Path(sys.executable).with_name("line-worker"), "train", "--fitter", "paddle", *recipe]

    done = subprocess.run(
        [*map(str, [*launch, *command, "--data", good, "--output", tmp_path / "m"])],
        env={**_own_environment(), "PADDLE_DISTRI_BACKEND": "gloo"},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    logs = [(tmp_path / "log" / f"workerlog.{rank}").read_text() for rank in (0, 1)]
    told = [[line for line in log.splitlines() if line.startswith("step ")] for log in logs]
    assert len(told[0]) == 4
    assert told[0] == told[1]  # the loss is that of both
    assert ["images to learn from" in log for log in logs] == [True, False]
    assert load_bundle(tmp_path / "m").threshold > 0


def _own_environment() -> dict[str, str]:
    """What the launcher would find on a fresh terminal: paddle and other tests leave words to it in this process."""
    left = ("FLAGS_", "PADDLE_", *VISIBLE_DEVICES.values())
    return {name: value for name, value in os.environ.items() if not name.startswith(left)}
