"""The history in `bundle.json`: every step adds an entry, and whatever was altered afterwards is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import models
import pytest

from worker.errors import BundleError
from worker.inference.bundle import MANIFEST, Manifest, adopted, load_bundle, read_manifest, sealed, write_manifest
from worker.inference.history import ADOPTED, CALIBRATED, OPTIMISED, TRAINED, problem
from worker.inference.optimise import optimise

Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A model with a history of three entries."""
    folder = models.copy_to(tmp_path / "part")
    first = Manifest(name="part", version="1", threshold=0.25, data_digest="abc")
    write_manifest(folder, first, action=TRAINED, note="150 steps")
    second = manifest_of(folder).model_copy(update={"version": "2", "threshold": 0.5, "camera_thresholds": {"c1": 0.4}})
    write_manifest(folder, second, action=CALIBRATED, data_digest="def")
    (folder / "inference.onnx").write_bytes(b"a graph")
    write_manifest(folder, manifest_of(folder), action=OPTIMISED, note="inference.onnx")
    return folder


def manifest_of(folder: Path) -> Manifest:
    manifest = read_manifest(folder)
    assert manifest is not None
    return manifest


def test_each_step_adds_an_entry_that_names_the_one_before(bundle: Path) -> None:
    first, second, third = manifest_of(bundle).history

    assert [entry.action for entry in (first, second, third)] == ["train", "calibrate", "optimize"]
    assert [entry.version for entry in (first, second, third)] == ["1", "2", "2"]
    assert (first.parent, second.parent, third.parent) == ("", first.id, second.id)
    assert len({first.id, second.id, third.id}) == 3
    assert (first.threshold, second.threshold, second.camera_thresholds) == (0.25, 0.5, {"c1": 0.4})
    assert (first.data_digest, second.data_digest, third.data_digest) == ("abc", "def", "abc")
    assert first.digest == second.digest != third.digest
    assert (first.note, third.note) == ("150 steps", "inference.onnx")
    assert load_bundle(bundle).identity == "part@2"


@pytest.mark.parametrize(
    ("alter", "says"),
    [
        (lambda manifest: manifest.update(threshold=0.6), "threshold: not what the last entry"),
        (lambda manifest: manifest.update(version="1"), "version: not what the last entry"),
        (lambda manifest: manifest["camera_thresholds"].update(c1=0.5), "camera_thresholds: not what"),
        (lambda manifest: manifest["camera_thresholds"].clear(), "camera_thresholds: not what"),
        (lambda manifest: manifest["sha256"].pop("inference.onnx"), "sha256: not what"),
        (lambda manifest: manifest["history"].pop(), "sha256: not what"),
        (lambda manifest: manifest["history"].pop(1), "does not follow the one before it"),
        (lambda manifest: manifest["history"].pop(0), "does not follow the one before it"),
        (lambda manifest: manifest["history"][0].update(note="15 steps"), "entry 1 of the history (version 1, train)"),
        (lambda manifest: manifest["history"][1].update(threshold=0.3), "(version 2, calibrate) was altered"),
        (lambda manifest: manifest["history"][2].update(created="yesterday"), "was altered"),
        (lambda manifest: manifest["history"][2].update(added=1), "was altered"),
        (lambda manifest: manifest["history"][2].update(id=""), "was altered"),
        (lambda manifest: manifest["history"][1].pop("digest"), "history.1.digest"),
        (lambda manifest: manifest.update(history="none"), "history"),
        (lambda manifest: manifest.update(history=[5]), "history.0"),
    ],
)
def test_what_was_altered_is_refused_by_name(bundle: Path, alter: Change, says: str) -> None:
    path = bundle / MANIFEST
    manifest = json.loads(path.read_text())
    alter(manifest)
    path.write_text(json.dumps(manifest))

    with pytest.raises(BundleError) as caught:
        load_bundle(bundle)

    assert says in str(caught.value)
    assert MANIFEST in str(caught.value)


def test_a_bundle_from_before_there_was_a_history_loads_and_begins_one_with_what_it_is(tmp_path: Path) -> None:
    folder = models.copy_to(tmp_path / "old", name="old", version="7", created="2026-01-02", threshold=0.125)
    assert load_bundle(folder).identity == "old@7"

    optimise(folder, held_out=models.images(2), graphs=False)

    first, second = manifest_of(folder).history
    assert (first.action, first.version, first.threshold) == (ADOPTED, "7", 0.125)
    assert (second.action, second.version, second.parent, second.note) == (OPTIMISED, "7", first.id, "golden.npz")
    assert first.digest != second.digest
    assert load_bundle(folder).golden


def test_a_bare_export_too(tmp_path: Path) -> None:
    folder = models.copy_to(tmp_path / "bare")

    optimise(folder, held_out=models.images(2), graphs=False)

    assert [entry.action for entry in manifest_of(folder).history] == [ADOPTED, OPTIMISED]
    assert load_bundle(folder).threshold == 0.01


def test_what_would_be_refused_is_not_written(bundle: Path) -> None:
    before = (bundle / MANIFEST).read_bytes()
    changed = manifest_of(bundle).model_copy(update={"threshold": 0.9})

    with pytest.raises(ValueError, match="threshold"):
        write_manifest(bundle, changed)

    assert (bundle / MANIFEST).read_bytes() == before


def test_what_later_versions_say_of_a_step_is_borne_and_kept() -> None:
    manifest = sealed(Manifest(threshold=0.5), {}, action=TRAINED)
    entry = manifest.history[0].model_copy(update={"teacher": "builtin"})
    later = entry.model_copy(update={"id": entry.right_id()})

    again = Manifest.model_validate_json(manifest.model_copy(update={"history": [later]}).model_dump_json())

    assert problem(again.history) == ""
    assert again.history[0].model_dump()["teacher"] == "builtin"


def test_a_history_is_adopted_once(bundle: Path) -> None:
    assert adopted(manifest_of(bundle)) == manifest_of(bundle)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"camera_thresholds": {"c1": -1}}', "camera_thresholds.c1"),
        ('{"camera_thresholds": {"c1": NaN}}', "camera_thresholds.c1"),
        ('{"camera_thresholds": {"c1": 1e999}}', "camera_thresholds.c1"),
        ('{"camera_thresholds": {"c1": "high"}}', "camera_thresholds.c1"),
        ('{"camera_thresholds": {"no spaces": 1}}', "camera_thresholds"),
        ('{"camera_thresholds": {"": 1}}', "camera_thresholds"),
        ('{"camera_thresholds": [1]}', "camera_thresholds"),
        ('{"camera_statistics": {"a/b": {}}}', "camera_statistics"),
    ],
)
def test_thresholds_of_cameras_that_mean_nothing_are_refused(bundle: Path, text: str, says: str) -> None:
    (bundle / MANIFEST).write_text(text)
    with pytest.raises(BundleError, match=says):
        load_bundle(bundle)
