"""`line-worker evaluate`, from a data set and a model to a table, a document and a report."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import models
import numpy as np
import pytest
from click.testing import CliRunner, Result
from sklearn.metrics import roc_auc_score
from small_disk import on_small_disk
from training.evaluation import parts

from worker.cli import main
from worker.inference.predictor import Predictor
from worker.settings import LimitSettings
from worker.training.data import pixels_digest, read_image

THRESHOLD = 0.0133
Harm = Callable[[Path], object]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.copy_to(tmp_path_factory.mktemp("models") / "m", name="m", version="7", threshold=THRESHOLD)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return parts.write_mvtec(tmp_path_factory.mktemp("data"))


def evaluate(model: Path, data: Path, *more: object) -> Result:
    return CliRunner().invoke(main, ["evaluate", "--model", str(model), "--data", str(data), *map(str, more)])


def document(model: Path, data: Path, *more: object) -> dict[str, Any]:
    done = evaluate(model, data, "--json", *more)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def test_the_figures_are_those_of_the_scores_that_serving_gives(model: Path, data: Path) -> None:
    paths = sorted((data / "test").rglob("*.png"))
    images = [read_image(path, LimitSettings()) for path in paths]
    predictor = Predictor.open(model)
    predictions = [predictor.predict([image])[0] for image in images]

    found = document(model, data)

    listed = {one["image"]: one for one in found["images"]}
    for path, prediction in zip(paths, predictions, strict=True):
        one = listed[str(path.relative_to(data))]
        assert one["score"] == pytest.approx(prediction.score, rel=1e-4)
        assert one["verdict"] == prediction.verdict
        assert one["kind"] == path.parent.name
    is_bad = [path.parent.name != "good" for path in paths]
    scores = [listed[str(path.relative_to(data))]["score"] for path in paths]
    assert found["all"]["image_auroc"]["value"] == pytest.approx(roc_auc_score(is_bad, scores))
    assert set(found["kinds"]) == {"dent", "stain"}
    assert found["model"] == {
        "name": "m@7",
        "folder": str(model),
        "threshold": pytest.approx(THRESHOLD),
        "engine": "paddle",
        "precision": "fp32",
        "device": "cpu",
    }
    rejected = sum(score > np.float32(THRESHOLD) for score in scores)
    assert rejected == found["false_rejects"]["count"] + found["all"]["recall"]["count"] > 0
    pixels = found["all"]["pixels"]
    assert (pixels["regions"], pixels["images"]) == (6, 12)
    assert 0 < pixels["auroc"] < 1
    assert 0 <= pixels["pro"] < 1
    assert found["in_place"]["of"] == found["all"]["recall"]["count"]


def test_the_table_names_kinds_and_intervals(model: Path, data: Path) -> None:
    done = evaluate(model, data)

    assert done.exit_code == 0, done.output
    assert re.search(r"^stain +3 ", done.stdout, re.MULTILINE)
    assert re.search(r"^all +6 ", done.stdout, re.MULTILINE)
    assert re.search(r"^false rejects \d of 6, ", done.stdout, re.MULTILINE)
    assert "m@7 by paddle fp32, threshold 0.0133" in done.stdout


def test_output_gets_the_document_and_a_report_that_stands_alone(tmp_path: Path, model: Path, data: Path) -> None:
    done = evaluate(model, data, "--output", tmp_path / "out", "--threshold", "0.0125")

    assert done.exit_code == 0, done.output
    written = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert written["model"]["threshold"] == pytest.approx(0.0125)
    report = (tmp_path / "out" / "report.html").read_text()
    assert "m@7" in report
    assert written["data"]["digest"] in report
    assert not re.search(r"https?:|<script|<link|@import|url\(", report)
    pictures = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', report)
    shown = len(re.findall("<figure>", report))
    verdicts = [(one["kind"] == "good", one["verdict"]) for one in written["images"]]
    assert shown == sum(pair != (True, "OK") for pair in verdicts) > 0
    assert len(pictures) == 3 * shown
    decoded = cv2.imdecode(np.frombuffer(base64.b64decode(pictures[0]), np.uint8), cv2.IMREAD_COLOR)
    assert max(decoded.shape[:2]) == 288
    charts = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', report)
    assert [base64.b64decode(chart).startswith(b"<?xml") for chart in charts] == [True, True]


def test_names_are_no_markup_and_no_control_sequences(tmp_path: Path, model: Path) -> None:
    hostile = "<img src=x onerror=alert(1)>\x1b[31m[red]\u202e" + os.fsdecode(b"\xff")
    kind = "<i>[red]\x1b"
    data = parts.write_mvtec(tmp_path / "d", good=2, kinds=(kind,), each=2)
    parts.write(data / "test" / "good" / f"{hostile}.png", parts.good_part(5))

    done = evaluate(model, data, "--output", tmp_path / "out", "--threshold", "0.001")

    assert done.exit_code == 0, done.output
    assert "\x1b" not in done.output
    assert "<i>[red]\\x1b" in done.stdout
    report = (tmp_path / "out" / "report.html").read_text()
    assert "<img src=x" not in report
    assert "&lt;img src=x onerror=alert(1)&gt;\\x1b[31m[red]\\u202e\\udcff" in report
    assert "<i>" not in report
    kinds = json.loads((tmp_path / "out" / "evaluation.json").read_text())["kinds"]
    assert list(kinds) == [kind]


def test_good_images_alone_tell_the_false_rejects_and_nothing_more(tmp_path: Path, model: Path, data: Path) -> None:
    found = document(model, data / "test" / "good", "--output", tmp_path / "out")

    assert found["all"] is None
    assert found["kinds"] == {}
    assert found["false_rejects"]["of"] == 6
    assert found["data"]["layout"] == "plain"
    assert "only good images" in found["notes"][0]
    assert "<h2>Scores</h2>" in (tmp_path / "out" / "report.html").read_text()


def test_images_that_the_model_was_made_from_are_noticed(tmp_path: Path, data: Path) -> None:
    good = data / "test" / "good"
    pictures = [pixels_digest(read_image(path, LimitSettings()))[:16] for path in sorted(good.iterdir())[:4]]
    model = models.copy_to(tmp_path / "m", learned_pictures=pictures)

    notes = document(model, good)["notes"]

    assert "learned from 4 of these images" in " ".join(notes)


def test_tests_without_a_training_part_are_read_as_mvtec_ads(tmp_path: Path, model: Path, data: Path) -> None:
    (tmp_path / "d").mkdir()
    for name in ("test", "ground_truth"):
        (tmp_path / "d" / name).symlink_to(data / name)

    found = document(model, tmp_path / "d")

    assert found["data"]["images"] == 12
    assert found["data"]["layout"] == "mvtec"


def test_lists_of_paddlex_are_read(tmp_path: Path, model: Path) -> None:
    image, mask = parts.defect(3)
    parts.write(tmp_path / "images" / "bad.png", image)
    parts.write(tmp_path / "masks" / "bad.png", mask)
    parts.write(tmp_path / "images" / "good.png", parts.good_part(4))
    parts.write(tmp_path / "masks" / "good.png", np.zeros_like(mask))
    (tmp_path / "val.txt").write_text("images/bad.png masks/bad.png\nimages/good.png masks/good.png\n")

    found = document(model, tmp_path)

    assert list(found["kinds"]) == ["defect"]
    assert found["all"]["pixels"]["regions"] == 1
    assert found["false_rejects"]["of"] == 1


def test_without_masks_there_are_image_metrics_only(tmp_path: Path, model: Path) -> None:
    data = parts.write_mvtec(tmp_path, good=2, each=2)
    for mask in (data / "ground_truth").rglob("*.png"):
        mask.unlink()

    found = document(model, data)

    assert found["all"]["pixels"] is None
    assert found["all"]["image_auroc"] is not None
    assert "No mask" in " ".join(found["notes"])


def test_pictures_that_a_line_would_not_judge_are_kept_apart(tmp_path: Path, model: Path) -> None:
    data = parts.write_mvtec(tmp_path / "d", good=2, kinds=("dent",), each=2)
    parts.write(data / "test" / "good" / "dark.png", np.zeros((80, 100, 3), np.uint8))
    parts.write(data / "test" / "dent" / "white.png", np.full((80, 100, 3), 255, np.uint8))

    found = document(model, data, "--output", tmp_path / "out")

    assert found["confusion"]["good"]["INVALID"] == 1
    assert found["confusion"]["bad"]["INVALID"] == 1
    assert found["invalid_reasons"] == {"blown_out": 1, "dark": 1}
    assert found["false_rejects"]["of"] == 2
    assert found["all"]["recall"]["of"] == 3
    assert found["data"]["without_mask"] == 1
    assert "dark: brightness 0.000" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.slow
def test_another_engine_gives_nearly_the_same(model: Path, data: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("paddle2onnx")

    found = document(model, data, "--engine", "onnxruntime")

    assert found["model"]["engine"] == "onnxruntime"
    here = [one["score"] for one in found["images"]]
    np.testing.assert_allclose(here, [one["score"] for one in document(model, data)["images"]], rtol=1e-3)


@pytest.mark.parametrize("there", ["evaluation.json", "report.html"])
def test_nothing_that_is_there_is_overwritten(tmp_path: Path, model: Path, data: Path, there: str) -> None:
    (tmp_path / there).symlink_to(tmp_path / "nowhere")

    done = evaluate(model, data, "--output", tmp_path)

    assert done.exit_code == 78
    assert f"{there} is there already" in done.stderr
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("output", ["file", "file/below"])
def test_an_output_that_is_no_folder_is_told_before_the_work(
    tmp_path: Path, model: Path, data: Path, output: str
) -> None:
    (tmp_path / "file").write_text("")

    done = evaluate(model, data, "--output", tmp_path / output)

    assert done.exit_code == 78
    assert "nothing can be written there" in done.stderr


def test_a_full_output_is_told_and_leaves_nothing_half_written(tmp_path: Path, model: Path, data: Path) -> None:
    # Room for the document, not for the report.
    small = tmp_path / "small"
    where = on_small_disk(small, "32k")
    call = f"{sys.executable} -m worker evaluate --model {model} --data {data} --output {small} --json"
    shell = f"{call} >{tmp_path}/found.json; code=$?; ls {small}; exit $code"
    done = subprocess.run([*where, "sh", "-c", shell], capture_output=True, text=True, check=False)

    assert done.returncode == 78, done.stderr
    assert "report.html: cannot be written: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout.split() == ["evaluation.json"]
    assert json.loads((tmp_path / "found.json").read_text())["model"]["name"] == "m@7"


def test_without_the_extra_all_but_the_report_is_written(
    tmp_path: Path, model: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)  # as where it is not installed

    done = evaluate(model, data, "--output", tmp_path / "out")

    assert done.exit_code == 0, done.output
    assert "pip install 'line-worker[report]'" in done.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["evaluation.json"]


def _truncated(folder: Path) -> None:
    path = folder / "test" / "dent" / "000.png"
    path.write_bytes(path.read_bytes()[:100])


def _other_mask(folder: Path) -> None:
    parts.write(folder / "ground_truth" / "dent" / "000_mask.png", np.zeros((80, 101), np.uint8))


def _broken_mask(folder: Path) -> None:
    (folder / "ground_truth" / "dent" / "000_mask.png").write_bytes(b"no picture")


def _no_tests(folder: Path) -> None:
    (folder / "test").rename(folder / "tests")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (_truncated, "test/dent/000.png: "),
        (_other_mask, "000_mask.png: the mask has 101×80 pixels, its image"),
        (_broken_mask, "000_mask.png: "),
        (_no_tests, "nothing to test on"),
    ],
)
def test_a_data_set_that_cannot_be_judged_is_told(
    tmp_path: Path, model: Path, harm: Callable[[Path], object], said: str
) -> None:
    data = parts.write_mvtec(tmp_path / "d", good=1, kinds=("dent",), each=1)
    harm(data)

    done = evaluate(model, data, "--output", tmp_path / "out")

    assert done.exit_code == 66, done.output
    assert said in done.stderr
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--data", "nowhere", "--model", "{model}"], 66, "no such folder"),
        (["--data", "{data}", "--model", "nowhere"], 78, "there is no such folder"),
        (["--data", "{data}"], 78, "name a model folder"),
        (["--data", "{data}", "--model", "{model}", "--threshold", "nan"], 78, "threshold"),
        (["--data", "{data}", "--model", "{model}", "--engine", "abacus"], 78, "engine"),
        (["--data", "{data}", "--model", "{model}", "--devices", "gpu:0"], 78, "gpu:0"),
    ],
)
def test_options_that_cannot_be_are_told(model: Path, data: Path, arguments: list[str], code: int, said: str) -> None:
    done = CliRunner().invoke(main, ["evaluate", *(one.format(model=model, data=data) for one in arguments)])

    assert done.exit_code == code, done.output
    assert said in done.stderr
