"""`line-worker train`, from a folder to a model that serves."""

import csv
import os
import resource
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
from click.testing import CliRunner, Result

from worker.capture.generated import GeneratedLine
from worker.cli import main
from worker.inference.bundle import PADDLEX_THRESHOLD, Manifest
from worker.inference.predictor import Predictor

FITTER = ["--fitter", "paddle"]
QUICK = ["--teacher", "random", "--size", "64x64", "--batch-size", "4", *FITTER, "--no-graphs"]


@pytest.fixture
def good_parts(tmp_path: Path) -> Path:
    folder = tmp_path / "good"
    folder.mkdir()
    for seq in range(10):
        cv2.imwrite(str(folder / f"{seq}.png"), GeneratedLine(3, size=96).render(seq, "good").image[:, :, ::-1])
    return folder


def train(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["train", *map(str, arguments)])


def export(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["export", *map(str, arguments)])


def test_a_folder_becomes_a_calibrated_model(tmp_path: Path, good_parts: Path) -> None:
    output = tmp_path / "bundle"

    done = train("--data", good_parts, "--output", output, "--epochs", 10, *QUICK, "--graphs")

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


def test_what_is_no_training_is_left_alone(tmp_path: Path, good_parts: Path) -> None:
    mine = tmp_path / "m.training" / "history.csv"
    mine.parent.mkdir()
    mine.write_text("of my own")

    refused = train("--data", good_parts, "--output", tmp_path / "m", *QUICK, "--restart")

    assert refused.exit_code == 78
    assert "holds something that is no training" in refused.stderr
    assert mine.read_text() == "of my own"
    assert len(list(mine.parent.iterdir())) == 1


def test_a_model_does_not_lie_among_the_photographs(tmp_path: Path, good_parts: Path) -> None:
    refused = train("--data", good_parts, "--output", good_parts / "m", *QUICK)

    assert refused.exit_code == 78
    assert "it lies in the data set's own folder" in refused.stderr
    assert len(list(good_parts.iterdir())) == 10


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


def made(folder: Path) -> tuple[bytes, float]:
    """What a model is: its parameters and its threshold."""
    manifest = Manifest.model_validate_json((folder / "bundle.json").read_bytes())
    return (folder / "inference.pdiparams").read_bytes(), manifest.threshold


def test_broken_off_it_goes_on_and_comes_to_the_same_model(tmp_path: Path, good_parts: Path) -> None:
    arguments = ["--data", str(good_parts), *QUICK, "--epochs", "30", "--seed", "2"]
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
    assert train("--data", good_parts, "--output", tmp_path / "m", "--epochs", 2, *QUICK).exit_code == 0

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


def test_an_export_takes_other_weights_of_the_layers_and_statistics(tmp_path: Path, good_parts: Path) -> None:
    assert train("--data", good_parts, "--output", tmp_path / "m", "--epochs", 2, *QUICK).exit_code == 0
    training, quick = tmp_path / "m.training", ["--no-graphs", "--statistics", "running"]

    done = export(training, "--output", tmp_path / "published", "--layer-weights", "1,1,1", *quick)
    refused = export(training, "--output", tmp_path / "none", "--layer-weights", "0,0,0", *quick)

    assert done.exit_code == 0, done.output
    manifest = Manifest.model_validate_json((tmp_path / "published" / "bundle.json").read_bytes())
    assert "2 epochs, layer weights (1, 1, 1), running statistics" in manifest.history[0].note
    again = ["--data", good_parts, "--output", tmp_path / "again", "--epochs", 2, *QUICK, "--statistics", "running"]
    assert train(*again, "--layer-weights", "1,1,1").exit_code == 0
    assert made(tmp_path / "published") == made(tmp_path / "again")
    assert refused.exit_code == 78
    assert "one at least above 0" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--data", "nowhere"], 66, "no such folder"),
        (["--data", "empty"], 66, "no image"),
        (["--data", "good", "--teacher", "none.npz"], 66, "no such file"),
        (["--data", "good", "--teacher", __file__], 66, "wanted a file that ends with .npz"),
        (["--data", "good", "--size", "64"], 78, "wanted WIDTHxHEIGHT"),
        (["--data", "good", "--size", "60x64"], 78, "size: wanted WIDTHxHEIGHT in pixels, multiples of 16"),
        (["--data", "good", "--layer-weights", "1,1"], 78, "layer-weights: wanted three numbers"),
        (["--data", "good", "--device", "cpu:0,cpu:1"], 78, "one device fits"),
        (["--data", "good", "--batch-size", "0"], 78, "batch-size: Input should be greater than or equal to 1"),
        (["--data", "good", "-o", f"Train.batch_size={'[' * 5000}"], 78, "cannot be understood"),
        (["--data", "parts"], 66, "parts: ng: not all of this looks like good parts"),
        (["--data", "."], 66, "not all of this looks like good parts"),
        (["--data", "good", "--epochs", "0"], 78, "epochs: "),
        (["--data", "good", "--learning-rate", "nan"], 78, "learning-rate: "),
        (["--data", "good", "--device", "gpu:0", "--fitter", "paddle"], 78, "install paddlepaddle-gpu"),
        (["--data", "good", "--device", "tpu"], 78, "the kind must be one of"),
        (["--data", "good", "-o", "Train.batch_size"], 78, "wanted Key.Sub=value"),
        (["--data", "good", "-o", "Train.bach_size=2"], 78, "there is no such key"),
        (["--data", "good", "-o", "Global.model=PatchCore"], 78, "no model of this kind"),
        (["--data", "good", "-c", "none.yaml"], 78, "none.yaml: cannot be read"),
        ([], 78, "--data is needed"),
    ],
)
def test_what_is_wrong_is_said(
    tmp_path: Path,
    good_parts: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    shutil.copytree(good_parts, tmp_path / "parts" / "ng")

    done = train("--output", tmp_path / "m", *arguments)

    assert done.exit_code == code, done.output
    assert said in done.stderr


@pytest.mark.parametrize("output", ["taken/0.png", "taken/0.png/below", "taken"])
def test_an_output_that_cannot_be_taken_is_told_before_the_fit(tmp_path: Path, good_parts: Path, output: str) -> None:
    shutil.copytree(good_parts, tmp_path / "taken")

    done = train("--data", good_parts, "--output", tmp_path / output, *QUICK)

    assert done.exit_code == 78
    assert "no model can be written there" in done.stderr or "nothing is ever overwritten" in done.stderr
    assert "step" not in done.stderr
    assert len(list((tmp_path / "taken").iterdir())) == 10


def test_an_earlier_training_with_another_recipe_is_not_gone_on_with(tmp_path: Path, good_parts: Path) -> None:
    arguments = ["--data", good_parts, "--output", tmp_path / "m", *QUICK]
    assert train(*arguments, "--epochs", 1).exit_code == 0
    shutil.rmtree(tmp_path / "m")

    refused = train(*arguments, "--epochs", 2)
    restarted = train(*arguments, "--epochs", 2, "--restart")

    assert refused.exit_code == 78
    assert "holds a training with other recipe" in refused.stderr
    assert restarted.exit_code == 0, restarted.output


def test_a_picture_under_several_names_is_used_once(tmp_path: Path, good_parts: Path) -> None:
    for image in list(good_parts.iterdir()):
        shutil.copy(image, image.with_name(f"copy-of-{image.name}"))

    done = train("--data", good_parts, "--output", tmp_path / "m", "--epochs", 1, *QUICK)
    calibrated = CliRunner().invoke(main, ["calibrate", "--model", str(tmp_path / "m"), "--images", str(good_parts)])

    assert "10 files hold a picture that is there already" in done.stderr
    assert "7 images to learn from, 1 to watch the fit with, 2 to calibrate with" in done.stderr
    assert "left out, since the model learned from them: 16" in calibrated.stderr
    assert "from 2 frames that differ" in calibrated.stderr


def test_an_export_takes_no_altered_photograph(tmp_path: Path, good_parts: Path) -> None:
    assert train("--data", good_parts, "--output", tmp_path / "m", "--epochs", 1, *QUICK).exit_code == 0
    cv2.imwrite(str(good_parts / "3.png"), np.full((96, 96, 3), 128, np.uint8))

    done = export(tmp_path / "m.training", "--output", tmp_path / "again", "--no-graphs")

    assert done.exit_code == 66
    assert "3.png: is not the picture any more" in done.stderr
    assert not any((tmp_path / "again").iterdir())


def test_a_set_with_too_few_images_is_said(tmp_path: Path, good_parts: Path) -> None:
    for image in list(good_parts.iterdir())[2:]:
        image.unlink()

    done = train("--data", good_parts, "--output", tmp_path / "m", *QUICK)

    assert done.exit_code == 66
    assert "2 images that differ are not enough" in done.stderr


def test_an_image_that_cannot_be_read_is_named(tmp_path: Path, good_parts: Path) -> None:
    (good_parts / "3.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")

    done = train("--data", good_parts, "--output", tmp_path / "m", *QUICK)

    assert done.exit_code == 66
    assert "3.png" in done.stderr


def test_a_file_name_that_is_not_text_is_said(tmp_path: Path, good_parts: Path) -> None:
    (good_parts / "0.png").rename(os.fsdecode(os.fsencode(good_parts) + b"/caf\xe9.png"))

    refused = train("--data", good_parts, "--output", tmp_path / "bundle", *QUICK)

    assert refused.exit_code == 66, refused.output
    assert r"caf\udce9.png: the name is not UTF-8" in refused.output.replace("\n", "")


def test_a_disk_that_fills_up_is_said_and_leaves_no_half_model(tmp_path: Path, good_parts: Path) -> None:
    output = tmp_path / "bundle"
    command = ["train", "--data", str(good_parts), "--output", str(output), "--epochs", "2", *QUICK]

    def with_room_for(size: int) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "worker", *command],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY)),
        )

    refused = with_room_for(5 << 20)
    assert refused.returncode == 78, refused.stderr
    assert "cannot be written" in refused.stderr
    assert not any(output.iterdir())
    done = with_room_for(1 << 30)
    assert done.returncode == 0, done.stderr
    assert Predictor.open(output)


def test_an_output_that_is_a_link_gets_the_model_where_it_points(tmp_path: Path, good_parts: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")

    done = train("--data", good_parts, "--output", tmp_path / "link", "--epochs", 1, *QUICK)

    assert done.exit_code == 0, done.output
    assert Predictor.open(tmp_path / "real")


def test_an_output_whose_name_is_not_text_is_told_before_the_fit(tmp_path: Path, good_parts: Path) -> None:
    output = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")

    refused = train("--data", good_parts, "--output", output, *QUICK)

    assert refused.exit_code == 78, refused.output
    assert "the name is not UTF-8" in refused.output.replace("\n", "")
    assert "step" not in refused.output


def test_an_export_leaves_alone_what_the_training_is_writing(tmp_path: Path, good_parts: Path) -> None:
    assert train("--data", good_parts, "--output", tmp_path / "bundle", "--epochs", 1, *QUICK).exit_code == 0
    (tmp_path / "bundle.training" / "model").mkdir()
    (tmp_path / "bundle.training" / "model" / "inference.json").write_text("half")

    done = export(tmp_path / "bundle.training", "--output", tmp_path / "so-far", "--no-graphs")

    assert done.exit_code == 0, done.output
    assert (tmp_path / "bundle.training" / "model" / "inference.json").read_text() == "half"
    assert {path.name for path in tmp_path.iterdir()} == {"good", "bundle", "bundle.training", "so-far"}
