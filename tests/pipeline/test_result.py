"""Results: what they hold, print and save."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import models
import numpy as np
import pytest
from PIL import Image as PillowImage

from worker.errors import SettingsError, SourceError
from worker.inference.pictures import MASK_COLOURS
from worker.pipeline import AnomalyDetectionPipeline, AnomalyResult

PICTURES = models.images(12, seed=3)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("in")
    for number, image in enumerate(PICTURES):
        (folder / f"part{number}.png").write_bytes(models.jpeg(image, ".png"))
    return folder


@pytest.fixture(scope="module")
def bad(pipeline: AnomalyDetectionPipeline, saved: Path) -> AnomalyResult:
    """One with a defect."""
    return next(result for result in pipeline.predict(str(saved)) if result["verdict"] == "NG")


@pytest.fixture
def broken(pipeline: AnomalyDetectionPipeline, tmp_path: Path) -> AnomalyResult:
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    [result] = pipeline.predict(str(tmp_path / "broken.png"))
    return result


def test_it_is_a_dict_as_paddlexs_with_a_score_and_a_verdict(bad: AnomalyResult) -> None:
    assert list(bad) == ["input_path", "page_index", "pred", "score", "threshold", "verdict", "regions", "reason"]
    assert bad["pred"].shape == (1, models.SIDE, models.SIDE)
    assert bad["pred"].dtype == np.uint8
    assert set(np.unique(bad["pred"])) == {0, 255}
    assert bad["score"] > bad["threshold"]
    assert bad["regions"][0].keys() == {"x", "y", "w", "h", "area", "score"}
    assert bad["input_img"].shape[2] == 3
    with pytest.raises(KeyError):
        bad["nonsense"]


@pytest.mark.parametrize("how", [{}, {"json_format": True}])
def test_printed_it_is_json_without_the_masks_pixels(
    how: dict[str, bool], bad: AnomalyResult, capsys: pytest.CaptureFixture[str]
) -> None:
    bad.print(**how, indent=2, ensure_ascii=True)

    printed = json.loads(capsys.readouterr().out)["res"]
    assert printed["pred"] == "..."
    assert printed["input_path"] == bad["input_path"]


def test_printed_on_one_line(bad: AnomalyResult, capsys: pytest.CaptureFixture[str]) -> None:
    bad.print(format_json=False)

    assert capsys.readouterr().out.startswith("{'res': {'input_path': ")


def test_json_holds_the_whole_mask(bad: AnomalyResult, tmp_path: Path) -> None:
    path = bad.save_to_json(str(tmp_path))

    assert path == tmp_path / f"{Path(bad['input_path']).stem}_res.json"
    assert json.loads(path.read_text()) == bad.json["res"]
    assert np.array_equal(np.array(bad.json["res"]["pred"]), bad["pred"])
    assert bad.save_to_json(tmp_path / "new" / "x.json", indent=None) == tmp_path / "new" / "x.json"
    assert "\n" not in (tmp_path / "new" / "x.json").read_text()


def test_the_mask_is_saved_in_paddlexs_colours(bad: AnomalyResult, tmp_path: Path) -> None:
    path = bad.save_to_img(str(tmp_path))

    assert path == tmp_path / f"{Path(bad['input_path']).stem}_res.png"
    with PillowImage.open(path) as picture:
        assert picture.mode == "P"
        pixels = np.asarray(picture.convert("RGB"))
    for value, colour in MASK_COLOURS.items():
        assert (pixels[bad["pred"][0] == value] == colour).all()
    assert np.array_equal(pixels, np.asarray(bad.img["res"].convert("RGB")))


@pytest.mark.parametrize("name", ["x.jpg", "x.webp", "x.png", "x.bmp"])
@pytest.mark.parametrize("style", ["mask", "overlay", "heatmap"])
def test_every_style_in_every_format(style: str, name: str, bad: AnomalyResult, tmp_path: Path) -> None:
    path = bad.save_to_img(tmp_path / name, style=style)  # type: ignore[arg-type]

    size = (models.SIDE, models.SIDE) if style == "mask" else bad["input_img"].shape[1::-1]
    with PillowImage.open(path) as picture:
        assert picture.size == size


def test_the_styles_for_people_show_the_picture_with_its_defect(bad: AnomalyResult, tmp_path: Path) -> None:
    for style in ("overlay", "heatmap"):
        with PillowImage.open(bad.save_to_img(tmp_path / f"{style}.png", style=style)) as picture:  # type: ignore[arg-type]
            assert not np.array_equal(np.asarray(picture), bad["input_img"])


def test_a_style_that_is_not_there_says_what_is(bad: AnomalyResult, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="mask, overlay, heatmap"):
        bad.save_to_img(tmp_path, style="sketch")  # type: ignore[arg-type]


def test_an_array_has_a_name_that_no_other_has(pipeline: AnomalyDetectionPipeline, tmp_path: Path) -> None:
    for result in pipeline.predict([PICTURES[0][..., ::-1]] * 50):
        result.save_all(tmp_path)
        assert result["input_path"] is None

    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json"] * 50 + [".png"] * 50


def test_a_place_that_cannot_be_written_says_so(bad: AnomalyResult, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(SourceError, match="cannot be written"):
        bad.save_to_img(tmp_path / "file" / "x.png")
    with pytest.raises(SourceError, match="cannot be written"):
        bad.save_to_json(tmp_path / "file" / "x.json")


def test_a_picture_that_cannot_be_inspected_is_invalid_and_draws_nothing(broken: AnomalyResult, tmp_path: Path) -> None:
    assert (broken["verdict"], broken["pred"], broken["score"]) == ("INVALID", None, None)
    assert broken["reason"].startswith("not_an_image: ")
    assert broken.json["res"]["pred"] is None
    with pytest.raises(type(broken.error), match=r"broken\.png"):  # type: ignore[arg-type]
        broken.save_to_img(tmp_path)
    with pytest.raises(type(broken.error), match=r"broken\.png"):  # type: ignore[arg-type]
        broken.img  # noqa: B018


def test_a_result_holds_its_own_map_alone_and_can_be_sent_to_another_process(
    bad: AnomalyResult, broken: AnomalyResult
) -> None:
    assert bad.anomaly_map is not None
    assert bad.anomaly_map.base is None
    error = pickle.loads(pickle.dumps(broken.error))
    assert (error.reason, str(error)) == (broken.error.reason, str(broken.error))  # type: ignore[union-attr]


def test_a_name_that_is_too_long_for_the_files_is_shortened(pipeline: AnomalyDetectionPipeline, tmp_path: Path) -> None:
    (tmp_path / f"{'ü' * 120}.png").write_bytes(models.jpeg(PICTURES[0], ".png"))
    [result] = pipeline.predict(str(tmp_path))

    result.save_all(tmp_path / "out")

    assert len(list((tmp_path / "out").iterdir())) == 2


def test_a_format_that_nobody_writes_is_saved_as_png(pipeline: AnomalyDetectionPipeline, tmp_path: Path) -> None:
    (tmp_path / "x.ras").write_bytes(models.jpeg(PICTURES[0], ".ras"))
    [result] = pipeline.predict(str(tmp_path))

    assert result.save_to_img(tmp_path / "out").name == "x_res.png"
