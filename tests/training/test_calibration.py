"""Scores of good images and of a line's results, and the thresholds that follow from them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import models
import numpy as np
import pytest

from worker.errors import SourceError
from worker.inference.predictor import Predictor
from worker.settings import load
from worker.stream.connection import Client
from worker.stream.fields import flat_fields, result_to_fields
from worker.stream.keys import LineKeys
from worker.training.calibration.line import LineScores, line_scores
from worker.training.calibration.report import report
from worker.training.calibration.scores import Scored, camera_folders, find_good_images, score_images
from worker.training.calibration.thresholds import find_thresholds
from worker.types import Result, Verdict

MODEL = "tiny@1"


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor.open(models.bare_export())


def save(folder: Path, count: int, seed: int = 1) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:03}.png" for number in range(count)]
    for path, image in zip(paths, models.images(count, seed), strict=True):
        path.write_bytes(models.jpeg(image, ".png"))
    return paths


def scored(count: int, camera: str = "", low: float = 0.0) -> list[Scored]:
    random = np.random.default_rng(count)
    return [Scored(camera, low + float(score), f"{camera} {score}") for score in random.random(count)]


def test_images_are_scored_as_a_worker_scores_them(tmp_path: Path, predictor: Predictor) -> None:
    paths = save(tmp_path / "good", 10)

    found = score_images(predictor, paths, [""] * 10, load()[0])

    assert found.origin == "paddle fp32"
    expected = [predictor.predict([image])[0].score for image in models.images(10)]
    assert [one.score for one in found.scored] == pytest.approx(expected, rel=1e-4)


def test_what_a_running_line_calls_invalid_is_left_out(tmp_path: Path, predictor: Predictor) -> None:
    paths = save(tmp_path / "good", 3)
    for name in ("dark", "black"):
        (tmp_path / "good" / f"{name}.png").write_bytes(models.jpeg(np.zeros((40, 40, 3), np.uint8), ".png"))
    everything = find_good_images(tmp_path / "good")

    found = score_images(predictor, everything, [""] * 5, load()[0])

    assert len(found.scored) == len(paths)
    assert found.left_out == {"dark": 2}
    with pytest.raises(SourceError, match=r"none of 1 images is left.*dark 1"):
        score_images(predictor, [tmp_path / "good" / "dark.png"], [""], load()[0])


def test_the_same_picture_counts_once_whatever_its_file(tmp_path: Path, predictor: Predictor) -> None:
    paths = save(tmp_path / "good", 4)
    image = models.images(1)[0]
    (tmp_path / "good" / "again.bmp").write_bytes(models.jpeg(image, ".bmp"))
    shutil.copy(paths[0], tmp_path / "good" / "copy.png")

    found = score_images(predictor, find_good_images(tmp_path / "good"), [""] * 6, load()[0])
    thresholds = find_thresholds(found.scored, 0.01, 0.95)

    assert thresholds.common.statistics["frames"] == 4
    assert thresholds.repeated == 2
    assert report(thresholds, 0.01, 0.5, {})[0].endswith("which was there already, and count for nothing: 2")


def test_an_image_that_cannot_be_read_is_named(tmp_path: Path, predictor: Predictor) -> None:
    (path,) = save(tmp_path / "good", 1)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(SourceError, match=r"000\.png"):
        score_images(predictor, [path], [""], load()[0])


@pytest.mark.parametrize(
    ("folders", "said"),
    [
        (["train/good", "test/good", "test/crack"], "is a data set.*kept back, such as test/good"),
        (["train/good"], "is a data set.*kept back, such as test/good"),
        (["good", "crack"], "crack: not all of this looks like good parts"),
        (["ok", "left/NG"], "left/NG: not all of this looks like good parts"),
    ],
)
def test_a_data_set_with_bad_parts_in_it_is_refused(tmp_path: Path, folders: list[str], said: str) -> None:
    for folder in folders:
        save(tmp_path / folder, 1)
    with pytest.raises(SourceError, match=said):
        find_good_images(tmp_path)


def test_folders_of_good_images_are_taken_as_they_are(tmp_path: Path) -> None:
    save(tmp_path / "test" / "good", 2)
    save(tmp_path / "more" / "c1", 1)
    save(tmp_path / "more" / "c2", 1)
    assert len(find_good_images(tmp_path / "test" / "good")) == 2
    assert len(find_good_images(tmp_path / "test")) == 2
    assert len(find_good_images(tmp_path / "more")) == 2


@pytest.mark.parametrize("name", ["nowhere", "file", "empty", "n" * 300])
def test_a_folder_that_is_none_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match=name):
        find_good_images(tmp_path / name)


def test_a_camera_is_the_sub_folder_that_an_image_is_below(tmp_path: Path) -> None:
    paths = [*save(tmp_path / "c1" / "monday", 1), *save(tmp_path / "c2", 1), *save(tmp_path, 1)]
    assert camera_folders(tmp_path, paths) == ["c1", "c2", ""]
    with pytest.raises(SourceError, match="has no sub-folders"):
        camera_folders(tmp_path, paths[2:])
    with pytest.raises(SourceError, match="no camera has this name"):
        camera_folders(tmp_path, save(tmp_path / "no spaces", 1))


def test_each_camera_with_frames_enough_has_its_own_promise() -> None:
    everything = [*scored(400, "c1"), *scored(299, "c2", low=5), *scored(298, "c3", low=9), *scored(50)]

    found = find_thresholds(everything, 0.01, 0.95, per_camera=True)

    assert set(found.cameras) == {"c1", "c2"}
    assert found.too_few == {"c3": 298}
    assert found.cameras["c1"].threshold == pytest.approx(max(one.score for one in everything[:400]), abs=1e-6)
    assert found.cameras["c2"].threshold == pytest.approx(max(one.score for one in everything[400:699]), abs=1e-6)
    assert all(one.promised for one in (found.common, *found.cameras.values()))
    assert found.common.threshold > 9
    told = report(found, 0.01, 0.5, {"c1": 0.7, "c9": 0.1})
    assert told[2].endswith("was 0.7")
    assert "camera c3: has the common threshold, since a promise of its own takes 299 frames" in told[-2]
    assert told[-1].endswith("have the common one now: c9")
    assert not find_thresholds(everything, 0.01, 0.95).cameras


def test_what_few_frames_promise_is_said() -> None:
    text = report(find_thresholds(scored(30), 0.01, 0.95), 0.01, 0.5, {})[-1]

    assert "with 95 % confidence, from 30 frames that differ: at most 9.5 % of good frames" in text
    assert "at most 4 of the next 30" in text
    assert "To promise 1 % takes 299 frames, 269 more. The threshold is an estimate: 1.25 times" in text


def result(score: float | None, camera: str = "c1", **fields: Any) -> Result:
    values: dict[str, Any] = {"verdict": Verdict.OK, "threshold": 0.5, "model": MODEL, "engine": "openvino"}
    return Result(frame="1-1", camera=camera, score=score, precision="int8", **(values | fields))


def add(client: Client, keys: LineKeys, *results: Result) -> None:
    for one in results:
        client.execute_command("XADD", keys.results, "*", *flat_fields(result_to_fields(one)))


def taken(found: LineScores) -> list[float]:
    return [one.score for one in found.scores.scored]


def test_the_last_scores_of_this_model_are_taken_newest_first(client: Client, keys: LineKeys) -> None:
    # Given more results than a page, among them some of another model, without a score, and not ours
    add(client, keys, *[result(number / 1000) for number in range(450)])
    add(client, keys, result(0.9, model="tiny@0"), result(None, verdict=Verdict.INVALID, threshold=None))
    client.execute_command("XADD", keys.results, "*", "colour", "red")
    add(client, keys, result(0.45, verdict=Verdict.LATE, engine="paddle"))

    found = line_scores(client, keys, MODEL, 400)

    assert taken(found) == [0.45, *[number / 1000 for number in range(449, 50, -1)]]
    assert found.engines == {"openvino int8": 399, "paddle int8": 1}
    assert found.scores.origin == "line test, openvino int8 399, paddle int8 1"
    assert len(taken(line_scores(client, keys, MODEL, 1000))) == 451


def test_only_the_cameras_asked_for(client: Client, keys: LineKeys) -> None:
    add(client, keys, result(0.1), result(0.2, "c2"), result(0.3, "c3"))
    assert taken(line_scores(client, keys, MODEL, 9, ["c1", "c3"])) == [0.3, 0.1]
    with pytest.raises(SourceError, match="no result of c4 with a score of the model tiny@1"):
        line_scores(client, keys, MODEL, 9, ["c4"])


def test_rejected_frames_count_where_somebody_vouches_for_them_and_are_refused_else(
    client: Client, keys: LineKeys
) -> None:
    add(client, keys, result(0.1), result(0.7, verdict=Verdict.NG), result(0.6, verdict=Verdict.LATE))

    with pytest.raises(SourceError, match=r"2 of 3 frames were rejected.*--good-only"):
        line_scores(client, keys, MODEL, 3)

    found = line_scores(client, keys, MODEL, 3, good_only=True)
    assert taken(found) == [0.6, 0.7, 0.1]
    assert found.rejected == 2


def test_a_line_that_knows_only_other_models_says_so(client: Client, keys: LineKeys) -> None:
    with pytest.raises(SourceError, match=r"no result with a score of the model tiny@1 is on its results stream$"):
        line_scores(client, keys, MODEL, 3)
    add(client, keys, result(0.1, model="other@2"), result(0.1, model="other@2"))
    with pytest.raises(SourceError, match="those there are of other@2 2"):
        line_scores(client, keys, MODEL, 3)


@pytest.mark.parametrize("score", [-1.0, float("inf"), float("nan"), 1e39])
def test_a_score_that_no_worker_gives_is_left_out(client: Client, keys: LineKeys, score: float) -> None:
    add(client, keys, result(score), result(0.1), result(0.2, "no spaces"))
    assert taken(line_scores(client, keys, MODEL, 9)) == [0.1]


def test_a_folder_that_is_published_in_a_loop_counts_once(client: Client, keys: LineKeys) -> None:
    # Given the same ten pictures fifty times, whose scores differ a little by the batch that they were in
    random = np.random.default_rng(0)
    for _ in range(50):
        noise = random.uniform(1 - 1e-7, 1 + 1e-7, 10)
        add(client, keys, *[result(0.1234567 * (1 + n / 10) * noise[n]) for n in range(10)])

    found = find_thresholds(line_scores(client, keys, MODEL, 500).scores.scored, 0.01, 0.95)

    assert found.common.statistics["frames"] <= 12
    assert not found.common.promised


def test_without_the_rejected_ones_each_calibration_would_lower_the_threshold() -> None:
    # Given a line of good parts at a threshold that keeps to 1 %
    random = np.random.default_rng(2)
    threshold = find_thresholds([Scored("", s, str(s)) for s in random.normal(5, 1, 2000)], 0.01, 0.95).common.threshold
    period: Sequence[float] = random.normal(5, 1, 5000).tolist()

    def next_one(scores: Sequence[float]) -> float:
        return find_thresholds([Scored("", s, str(s)) for s in scores], 0.01, 0.95).common.threshold

    assert next_one([s for s in period if s <= threshold]) < threshold - 0.1
    assert next_one(period) == pytest.approx(threshold, abs=0.35)
