"""Model folders: what loads, and what is refused with its reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import models
import pytest
import yaml

from worker.errors import BundleError
from worker.inference.bundle import MANIFEST, load_bundle
from worker.inference.preprocess import Transforms, parse_transforms

FILES = ["inference.json", "inference.pdiparams", "inference.yml"]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return models.copy_to(tmp_path / "part", name="part", version="3", threshold=0.25)


def refusal(folder: Path) -> str:
    with pytest.raises(BundleError) as caught:
        load_bundle(folder)
    return str(caught.value)


def rewrite(folder: Path, **changes: Any) -> None:
    path = folder / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_bundle_brings_its_name_and_its_threshold(bundle: Path) -> None:
    loaded = load_bundle(bundle)
    assert (loaded.identity, loaded.threshold) == ("part@3", 0.25)
    assert loaded.transforms.size == (models.SIDE, models.SIDE)
    assert loaded.graph.name == "inference.json"


def test_a_bare_paddlex_export_loads_as_it_is_with_paddlex_own_threshold() -> None:
    loaded = load_bundle(models.bare_export())
    assert loaded.threshold == 0.01
    assert loaded.identity == models.bare_export().name


def test_a_folder_that_is_not_there_is_told_how_to_name_one(tmp_path: Path) -> None:
    assert "--model" in refusal(tmp_path / "none")
    assert "neither inference.json nor inference.pdmodel" in refusal(tmp_path)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("manifest", [True, False])
def test_a_missing_file_is_named(bundle: Path, name: str, manifest: bool) -> None:
    if not manifest:
        (bundle / MANIFEST).unlink()
    (bundle / name).unlink()
    assert name in refusal(bundle)


@pytest.mark.parametrize("name", FILES)
def test_an_altered_file_is_named(bundle: Path, name: str) -> None:
    data = bytearray((bundle / name).read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / name).write_bytes(data)
    assert f"{name} was altered" in refusal(bundle)


def test_another_file_that_the_manifest_lists_must_be_there_too(bundle: Path) -> None:
    rewrite(bundle, sha256={"inference.onnx": "0" * 64})
    assert "inference.onnx is missing" in refusal(bundle)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/b", "..", ".", "", "inference.yml/"])
def test_a_manifest_cannot_reach_outside_its_folder(bundle: Path, name: str) -> None:
    (bundle.parent / "secret").write_text("x")
    rewrite(bundle, sha256={name: "0" * 64})
    assert "is not a file name" in refusal(bundle) or "missing" in refusal(bundle)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "Invalid JSON"),
        ("{", "Invalid JSON"),
        ("[]", "file"),
        ("\x00", "Invalid JSON"),
        ('{"threshold": "high"}', "threshold"),
        ('{"threshold": -1}', "threshold"),
        ('{"threshold": NaN}', "threshold"),
        ('{"threshold": 1e999}', "threshold"),
        ('{"image_statistics": {"brightness": 130}}', "image_statistics.brightness"),
        ('{"image_statistics": {"width": 0}}', "image_statistics.width"),
        ('{"sha256": ["a"]}', "sha256"),
        ('{"sha256": {"inference.yml": 5}}', "sha256.inference.yml"),
    ],
)
def test_a_bad_manifest_is_refused_naming_what_is_wrong(bundle: Path, text: str, says: str) -> None:
    (bundle / MANIFEST).write_text(text)
    assert says in refusal(bundle)


def test_what_cannot_be_read_is_told(bundle: Path) -> None:
    (bundle / MANIFEST).unlink()
    (bundle / MANIFEST).mkdir()
    assert "cannot be read: Is a directory" in refusal(bundle)
    assert "cannot be read: File name too long" in refusal(bundle / ("n" * 300))


def test_what_good_images_are_like_comes_with_the_bundle_where_it_was_measured(bundle: Path) -> None:
    assert load_bundle(bundle).image_statistics is None
    rewrite(bundle, image_statistics={"brightness": 0.5, "sharpness": None, "of_a_later_version": [1]})
    good = load_bundle(bundle).image_statistics
    assert good is not None
    assert (good.brightness, good.blown_out, good.sharpness, good.width) == (0.5, None, None, None)
    assert load_bundle(models.bare_export()).image_statistics is None


def test_fields_of_later_versions_are_borne(bundle: Path) -> None:
    rewrite(bundle, golden_scores=[1, 2], unheard_of=True)
    assert load_bundle(bundle).threshold == 0.25


@pytest.mark.parametrize(
    "text",
    ["", "Deploy:", "Deploy: {}", "Deploy: {transforms: 5}", "Deploy: {transforms: [Resize]}", "a: [", "- 1", "\x00"],
)
def test_a_bad_yml_is_refused_by_its_name(bundle: Path, text: str) -> None:
    (bundle / MANIFEST).unlink()
    (bundle / "inference.yml").write_text(text)
    assert "inference.yml" in refusal(bundle)
    assert "Deploy.transforms" in refusal(bundle)


def test_a_yml_cannot_run_code(bundle: Path) -> None:
    (bundle / MANIFEST).unlink()
    (bundle / "inference.yml").write_text("Deploy: !!python/object/apply:os.system ['touch owned']")
    assert "inference.yml" in refusal(bundle)
    assert not Path("owned").exists()


RESIZE = {"type": "Resize", "target_size": [32, 16]}
NORMALIZE = {"type": "Normalize"}


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        ([RESIZE, {"type": "RandomFlip"}], "'RandomFlip' is not supported; Resize and Normalize are"),
        ([RESIZE, {}], "None is not supported"),
        ([NORMALIZE], "no Resize"),
        ([], "no Resize"),
        ([RESIZE | {"keep_ratio": True}], "keep_ratio"),
        ([RESIZE | {"target_size": [0, 16]}], "target_size"),
        ([RESIZE | {"target_size": [5000, 16]}], "target_size"),
        ([RESIZE | {"target_size": "big"}], "target_size"),
        ([RESIZE | {"target_size": [1, 2, 3]}], "target_size"),
        ([{"type": "Resize"}], "target_size"),
        ([RESIZE | {"interp": "MAGIC"}], "NEAREST, LINEAR"),
        ([RESIZE | {"crop": 4}], "unknown arguments crop"),
        ([RESIZE, NORMALIZE | {"mean": [0.5, 0.5]}], "Normalize.mean"),
        ([RESIZE, NORMALIZE | {"mean": ["a", 0, 0]}], "Normalize.mean"),
        ([RESIZE, NORMALIZE | {"std": [0.5, 0, 0.5]}], "must not be 0"),
        ([RESIZE, NORMALIZE | {"std": float("nan")}], "Normalize.std"),
    ],
)
def test_a_transform_that_would_be_done_wrong_is_refused(steps: list[dict[str, Any]], says: str) -> None:
    with pytest.raises(BundleError, match="here: ") as caught:
        parse_transforms(steps, "here")
    assert says in str(caught.value)


def test_transforms_are_read_as_paddlex_writes_them() -> None:
    steps = yaml.safe_load(
        """
        - {type: Resize, target_size: [32, 16], keep_ratio: false, size_divisor: 20, interp: cubic}
        - {type: Normalize, mean: [0.1, 0.2, 0.3], std: 0.5}
        """.replace("cubic", "bicubic")
    )
    transforms = parse_transforms(steps, "here")
    assert transforms == Transforms((40, 20), "BICUBIC", (0.1, 0.2, 0.3), (0.5, 0.5, 0.5))
    assert transforms.map_shape == (20, 40)
    assert parse_transforms([{"type": "Resize", "target_size": 24}], "here").size == (24, 24)
