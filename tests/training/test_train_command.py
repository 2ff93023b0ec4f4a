"""`line-worker train`, from a folder to a model that serves."""

import csv
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from training.trainings import AUTO, FITTER, QUICK, export, made, train

from worker.capture.generated import GeneratedLine
from worker.cli import main
from worker.inference.bundle import PADDLEX_THRESHOLD, Manifest
from worker.inference.predictor import Predictor


def test_a_folder_becomes_a_calibrated_model(tmp_path: Path, good_parts: Path) -> None:
    output = tmp_path / "bundle"

    done = train("--data", good_parts, "--output", output, "--epochs", 10, *QUICK, *AUTO, "--graphs")

    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == str(output)
    assert "7 images to learn from, 1 to watch the fit with, 2 to calibrate with; teacher random" in done.stderr
    assert "WARNING: 2 images to calibrate with are very few" in done.stderr
    assert " statistics (AUROC of painted defects: settled: " in done.stderr
    told = [line.partition(",")[0] for line in done.stderr.splitlines() if line.startswith("step ")]
    assert told == [f"step {step} of 20" for step in range(2, 21, 2)]
    assert "estimate" in done.stderr  # two held-out images promise nothing
    manifest = Manifest.model_validate_json((output / "bundle.json").read_bytes())
    assert manifest.score_statistics["promised"] == 0.0
    assert manifest.threshold == np.float32(PADDLEX_THRESHOLD)  # so that PaddleX, too, keeps to it
    good = manifest.image_statistics
    assert good is not None
    assert (good.images, good.width, good.height) == (10, 96, 96)
    assert "teacher random equalised, 10 epochs, layer weights (0.25, 0.5, 1), " in manifest.history[0].note
    prediction = Predictor.open(output).predict([GeneratedLine(3).part(0).image])[0]
    assert prediction.threshold == manifest.threshold
    assert prediction.label_map.shape == (64, 64)
    run = tmp_path / "bundle.training"
    with (run / "history.csv").open() as file:
        assert [row["number"] for row in csv.DictReader(file)] == [str(number) for number in range(1, 11)]
    curves = cv2.imread(str(run / "curves.png"))
    assert curves is not None
    assert curves.std() > 1


def test_without_torch_it_is_said_what_makes_a_fit_fast(
    tmp_path: Path, good_parts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["--data", good_parts, "--epochs", 1, *[option for option in QUICK if option not in FITTER]]
    slow = "without PyTorch a fit on a CPU takes hours"

    with_it = train(*arguments, "--output", tmp_path / "with")
    monkeypatch.setattr("worker.training.fitting.fitter.find_spec", lambda _name: None)
    without = train(*arguments, "--output", tmp_path / "without")

    assert (with_it.exit_code, without.exit_code) == (0, 0)
    assert "; torch " in with_it.stderr
    assert slow not in with_it.stderr
    assert "; paddle fp32 on cpu" in without.stderr
    assert slow in without.stderr


def test_a_set_in_the_layout_of_mvtec_gives_its_good_images_alone(tmp_path: Path, good_parts: Path) -> None:
    (tmp_path / "set" / "train").mkdir(parents=True)
    good_parts.rename(tmp_path / "set" / "train" / "good")
    bad = tmp_path / "set" / "test" / "hole"
    bad.mkdir(parents=True)
    shutil.copy(tmp_path / "set" / "train" / "good" / "0.png", bad / "0.png")

    done = train("--data", tmp_path / "set", "--output", tmp_path / "m", "--epochs", 1, *QUICK)

    assert done.exit_code == 0, done.output
    assert "7 images to learn from, 1 to watch the fit with, 2 to calibrate with" in done.stderr


def test_paddlexs_file_and_overrides_say_the_same_as_options(tmp_path: Path, good_parts: Path) -> None:
    config = tmp_path / "STFPM.yaml"
    config.write_text(
        f"Global: {{model: STFPM, mode: train, dataset_dir: {good_parts}, device: cpu, output: {tmp_path / 'm'}}}\n"
        "Train: {epochs_iters: 5, num_classes: 1, batch_size: 2, learning_rate: 0.4, pretrain_weight_path: null}\n"
        "Evaluate: {log_interval: 10}\n"
    )
    quick = ["--teacher", "random", "--size", "64x64", "--fitter", "paddle"]

    done = train("-c", config, "-o", "Train.epochs_iters=3", "-o", "Train.batch_size=8", "--epochs", 2, *quick)

    assert done.exit_code == 0, done.output
    assert "step 2 of 2," in done.stderr  # seven images in batches of eight, two epochs
    assert "without effect here: Train.num_classes" in done.stderr
    assert (tmp_path / "m" / "bundle.json").is_file()


def test_the_file_that_paddlex_ships_trains(tmp_path: Path, good_parts: Path) -> None:
    config = tmp_path / "STFPM.yaml"
    config.write_text(
        "Global: {model: STFPM, mode: check_dataset, dataset_dir: /data, device: 'cpu:0,cpu:1', output: out}\n"
        "Train: {epochs_iters: 50, num_classes: 1, batch_size: 1, learning_rate: 0.4, warmup_steps: 100}\n"
    )

    quick = ["--teacher", "random", "--size", "64x64", *FITTER, "--epochs", 1, "--no-graphs"]
    done = train("-c", config, "--data", good_parts, "--output", tmp_path / "m", *quick)

    assert done.exit_code == 0, done.output
    assert "Global.device cpu:0,cpu:1: cpu:0 fits" in done.stderr
    assert "step 7 of 7" in done.stderr


def test_what_is_left_out_is_said(tmp_path: Path, good_parts: Path) -> None:
    (good_parts / "scan.tif").write_bytes(b"II*")
    (good_parts / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (good_parts / "._0.png").write_bytes(b"what macOS keeps")

    done = train("--data", good_parts, "--output", tmp_path / "m", "--epochs", 1, *QUICK)

    assert done.exit_code == 0, done.output
    assert "2 files are of another format or behind a link" in done.stderr


def broken_off(output: Path, arguments: list[str], how: signal.Signals, when: Callable[[str], bool]) -> int:
    """Train in a process of its own; send it the signal once a line of its output is the one; its exit code."""
    process = subprocess.Popen(
        [sys.executable, "-m", "worker", "train", *arguments, "--output", str(output)],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if when(line):
            process.send_signal(how)
            break
    process.stderr.read()
    process.stderr.close()
    return process.wait()


@pytest.mark.long
def test_broken_off_it_goes_on_and_comes_to_the_same_model(tmp_path: Path, good_parts: Path) -> None:
    arguments = ["--data", str(good_parts), *QUICK, *AUTO, "--epochs", "30", "--seed", "2"]
    assert train(*arguments, "--output", tmp_path / "whole").exit_code == 0

    def is_written(folder: Path) -> Callable[[str], bool]:
        def wait(line: str) -> bool:
            if not line.startswith("step 60 "):
                return False
            while not (folder / "inference.pdiparams").exists():
                time.sleep(0.001)
            return True

        return wait

    for name, how, when in (
        ("killed", signal.SIGKILL, lambda line: line.startswith("step 24 ")),
        ("stopped", signal.SIGINT, lambda line: line.startswith("step 24 ")),
        ("writing", signal.SIGKILL, is_written(tmp_path / "writing.training" / "model")),
    ):
        code = broken_off(tmp_path / name, arguments, how, when)
        again = train(*arguments, "--output", tmp_path / name)

        assert code == (75 if how is signal.SIGINT else -signal.SIGKILL)
        assert again.exit_code == 0, again.output
        assert ("going on with the fit" in again.stderr) == (name != "killed")  # its first checkpoint was still to come
        assert made(tmp_path / name) == made(tmp_path / "whole")
        assert not (tmp_path / f"{name}.training" / "model").exists()


def test_a_training_is_exported_again(tmp_path: Path, good_parts: Path) -> None:
    assert train("--data", good_parts, "--output", tmp_path / "m", "--epochs", 2, *QUICK, *AUTO).exit_code == 0

    done = export(tmp_path / "m.training", "--output", tmp_path / "again", "--no-graphs")
    over = export(tmp_path / "m.training", "--output", tmp_path / "again", "--no-graphs")
    nothing = export(good_parts, "--output", tmp_path / "none")

    assert done.exit_code == 0, done.output
    both = [Manifest.model_validate_json((tmp_path / name / "bundle.json").read_bytes()) for name in ("m", "again")]
    assert both[0].threshold == both[1].threshold
    assert both[0].sha256["inference.pdiparams"] == both[1].sha256["inference.pdiparams"]
    assert [entry.action for entry in both[1].history] == ["train", "optimize"]
    assert (over.exit_code, nothing.exit_code) == (78, 66)
    assert "there is no training in this folder" in nothing.stderr


@pytest.mark.long
def test_an_export_takes_other_weights_of_the_layers_and_statistics(tmp_path: Path, good_parts: Path) -> None:
    assert train("--data", good_parts, "--output", tmp_path / "m", "--epochs", 2, *QUICK, *AUTO).exit_code == 0
    training, quick = tmp_path / "m.training", ["--no-graphs", "--statistics", "running"]

    done = export(training, "--output", tmp_path / "published", "--layer-weights", "1,1,1", *quick)
    refused = export(training, "--output", tmp_path / "none", "--layer-weights", "0,0,0", *quick)

    assert done.exit_code == 0, done.output
    manifest = Manifest.model_validate_json((tmp_path / "published" / "bundle.json").read_bytes())
    assert "2 epochs, layer weights (1, 1, 1), running statistics" in manifest.history[0].note
    again = ["--data", good_parts, "--output", tmp_path / "again", "--epochs", 2, *QUICK]
    assert train(*again, "--layer-weights", "1,1,1").exit_code == 0
    assert made(tmp_path / "published") == made(tmp_path / "again")
    assert refused.exit_code == 78
    assert "one at least above 0" in refused.stderr


def test_a_picture_under_several_names_is_used_once(tmp_path: Path, good_parts: Path) -> None:
    for image in list(good_parts.iterdir()):
        shutil.copy(image, image.with_name(f"copy-of-{image.name}"))

    done = train("--data", good_parts, "--output", tmp_path / "m", "--epochs", 1, *QUICK)
    calibrated = CliRunner().invoke(main, ["calibrate", "--model", str(tmp_path / "m"), "--images", str(good_parts)])

    assert "10 files hold a picture that is there already" in done.stderr
    assert "7 images to learn from, 1 to watch the fit with, 2 to calibrate with" in done.stderr
    assert "left out, since the model learned from them: 16" in calibrated.stderr
    assert "from 2 frames that differ" in calibrated.stderr


def test_an_output_that_is_a_link_gets_the_model_where_it_points(tmp_path: Path, good_parts: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")

    done = train("--data", good_parts, "--output", tmp_path / "link", "--epochs", 1, *QUICK)

    assert done.exit_code == 0, done.output
    assert Predictor.open(tmp_path / "real")


def test_an_export_leaves_alone_what_the_training_is_writing(tmp_path: Path, good_parts: Path) -> None:
    assert train("--data", good_parts, "--output", tmp_path / "bundle", "--epochs", 1, *QUICK).exit_code == 0
    (tmp_path / "bundle.training" / "model").mkdir()
    (tmp_path / "bundle.training" / "model" / "inference.json").write_text("half")

    done = export(tmp_path / "bundle.training", "--output", tmp_path / "so-far", "--no-graphs")

    assert done.exit_code == 0, done.output
    assert (tmp_path / "bundle.training" / "model" / "inference.json").read_text() == "half"
    assert {path.name for path in tmp_path.iterdir()} == {"good", "bundle", "bundle.training", "so-far"}
