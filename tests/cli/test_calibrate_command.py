"""`line-worker calibrate` and `line-worker history`, from a folder and from a line."""

from __future__ import annotations

import json
from pathlib import Path

import models
import numpy as np
import pytest

from worker.inference.bundle import load_bundle, read_manifest
from worker.stream.connection import Client
from worker.stream.fields import flat_fields, result_to_fields
from worker.stream.keys import LineKeys
from worker.types import Result, Verdict

from .conftest import Run


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return models.copy_to(tmp_path / "part", name="part", version="1", threshold=0.5)


def save(folder: Path, count: int, seed: int = 1) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(models.images(count, seed)):
        (folder / f"{number:03}.png").write_bytes(models.jpeg(image, ".png"))
    return folder


def add_results(client: Client, keys: LineKeys, camera: str, count: int, **values: object) -> None:
    for score in np.random.default_rng(count).uniform(0.1, 0.4, count):
        fields = {"verdict": Verdict.OK, "threshold": 0.5, "model": "part@1", "engine": "openvino", "precision": "int8"}
        result = Result("1-1", camera, score=float(score), **(fields | values))  # type: ignore[arg-type]
        client.execute_command("XADD", keys.results, "*", *flat_fields(result_to_fields(result)))


def test_a_folder_of_good_images_becomes_a_new_version(run: Run, model: Path, tmp_path: Path) -> None:
    images = save(tmp_path / "good", 20)

    done = run("calibrate", "--model", str(model), "--images", str(images), "--synthetic")

    assert done.exit_code == 0, done.output
    folder = tmp_path / "part-v2"
    assert done.stdout.strip() == str(folder)
    bundle, manifest = load_bundle(folder), read_manifest(folder)
    assert manifest is not None
    assert bundle.identity == "part@2"
    assert bundle.threshold == pytest.approx(manifest.score_statistics["maximum"] * 1.25)
    assert manifest.score_statistics["frames"] == 20
    assert manifest.score_statistics["promised_rate"] == pytest.approx(1 - 0.05 ** (1 / 20))
    assert manifest.false_reject_target == 0.01
    assert "To promise 1 % takes 299 frames, 279 more" in done.stderr
    assert "painted by the program" in done.stderr
    assert "of 20" in done.stderr
    assert load_bundle(model).threshold == 0.5


def test_each_camera_has_its_threshold_and_history_tells_it(run: Run, model: Path, tmp_path: Path) -> None:
    for seed, camera in enumerate(("c1", "c2")):
        save(tmp_path / "good" / camera, 10 + 2 * seed, seed)
    options = ["--false-reject-rate", "0.2", "--confidence", "0.9", "--per-camera"]  # 11 frames can promise that

    done = run("calibrate", "--model", str(model), "--images", str(tmp_path / "good"), *options)

    assert done.exit_code == 0, done.output
    manifest = read_manifest(tmp_path / "part-v2")
    assert manifest is not None
    assert list(manifest.camera_thresholds) == list(manifest.camera_statistics) == ["c2"]
    assert manifest.camera_statistics["c2"]["promised"] == 1.0
    assert "camera c1: has the common threshold" in done.stderr
    told = run("history", str(tmp_path / "part-v2"))
    assert told.exit_code == 0
    assert "version 2  calibrate" in told.stdout.splitlines()[0]
    assert f"c2 {manifest.camera_thresholds['c2']:.4g}" in told.stdout
    assert "for 20 % false rejects with 90 % confidence, 22 frames by paddle fp32" in told.stdout
    entries = json.loads(run("history", str(tmp_path / "part-v2"), "--json").stdout)
    assert [entry["action"] for entry in entries] == ["adopt", "calibrate"]


def test_a_model_without_a_history_says_so(run: Run, model: Path) -> None:
    done = run("history", str(model))
    assert done.exit_code == 0
    assert done.stdout == ""
    assert "has no history" in done.stderr
    assert json.loads(run("history", str(model), "--json").stdout) == []


def test_the_last_scores_of_a_line_become_a_new_version(
    run: Run, model: Path, tmp_path: Path, client: Client, keys: LineKeys
) -> None:
    add_results(client, keys, "c1", 400)
    add_results(client, keys, "c2", 100)
    output = tmp_path / "strict"

    done = run(
        "calibrate", "--model", str(model), "--from-line", "1000", "--per-camera", "--output", str(output)
    )  # fmt: skip

    assert done.exit_code == 0, done.output
    assert "the line has 500 such results, not 1,000" in done.stderr
    manifest = read_manifest(output)
    assert manifest is not None
    assert list(manifest.camera_thresholds) == ["c1"]
    assert 0.39 < manifest.threshold < 0.4
    assert manifest.history[-1].note.endswith("500 frames by line test, openvino int8 500")
    assert load_bundle(output).identity == "part@2"


def test_rejected_parts_are_taken_only_where_somebody_vouches(
    run: Run, model: Path, client: Client, keys: LineKeys
) -> None:
    add_results(client, keys, "c1", 20, verdict=Verdict.NG, threshold=0.01)
    arguments = ["calibrate", "--model", str(model), "--from-line", "20"]

    refused = run(*arguments)
    assert refused.exit_code == 66
    assert "20 of 20 frames were rejected" in refused.stderr
    assert not (model.parent / "part-v2").exists()

    assert run(*arguments, "--good-only").exit_code == 0
    assert load_bundle(model.parent / "part-v2").threshold > 0.01


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        ([], 78, "either --images FOLDER or --from-line N"),
        (["--images", "good", "--from-line", "5"], 78, "either --images FOLDER or --from-line N"),
        (["--images", "good", "--camera", "c1"], 78, "go with --from-line"),
        (["--images", "good", "--good-only"], 78, "go with --from-line"),
        (["--from-line", "5", "--synthetic"], 78, "it goes with --images"),
        (["--from-line", "5"], 66, "no result with a score of the model part@1"),
        (["--from-line", "0"], 2, "--from-line"),
        (["--images", "good", "--false-reject-rate", "nan"], 78, "--false-reject-rate nan: must lie between"),
        (["--images", "good", "--false-reject-rate", "0"], 78, "must lie between"),
        (["--images", "good", "--confidence", "1"], 78, "--confidence 1.0: must lie between"),
        (["--images", "nowhere"], 66, "there is no such folder of images"),
        (["--images", "good/000.png"], 66, "there is no such folder of images"),
        (["--images", "empty"], 66, "no image is in it"),
        (["--images", "broken"], 66, "broken/000.png"),
        (["--images", "good", "--per-camera"], 66, "has no sub-folders"),
        (["--images", "good", "--output", "good"], 78, "is there already, and nothing is overwritten"),
        (["--images", "good", "--output", "good/000.png/new"], 78, "no model can be written there"),
        (["--images", "good", "--model", "nowhere"], 78, "there is no such folder; name one with --model"),
        (["--images", "good", "--model", "good"], 78, "neither inference.json nor inference.pdmodel"),
        (["--images", "good", "--model", "n" * 300], 78, "cannot be read: File name too long"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(
    run: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], code: int, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "good", 1)
    (tmp_path / "empty").mkdir()
    (save(tmp_path / "broken", 1) / "000.png").write_bytes(b"")

    done = run("calibrate", "--model", str(model), *options)

    assert done.exit_code == code, done.output
    assert says in done.stderr
    assert "Traceback" not in done.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken", "empty", "good", "part"]


def test_without_a_model_it_says_how_to_name_one(run: Run, tmp_path: Path) -> None:
    done = run("calibrate", "--images", str(tmp_path))
    assert done.exit_code == 78
    assert "--model or LINE_MODEL" in done.stderr
