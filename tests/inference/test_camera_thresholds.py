"""A threshold for each camera, where the model has them."""

from __future__ import annotations

from pathlib import Path

import models
import pytest

from worker.devices import Device
from worker.inference.bundle import Bundle, load_bundle
from worker.inference.engines import REFERENCE, Engine, open_engine
from worker.inference.optimise import optimise
from worker.inference.predictor import Predictor
from worker.inference.selection.choose import judge_at_each, look_at_all
from worker.inference.selection.golden import read_golden
from worker.inference.selection.measure import Measurement
from worker.settings import GateSettings, load
from worker.types import Verdict


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("cameras") / "part"
    return load_bundle(
        models.copy_to(folder, name="part", threshold=0.01, camera_thresholds={"strict": 0.0, "lax": 1e9})
    )


@pytest.fixture(scope="module")
def engine(bundle: Bundle) -> Engine:
    return open_engine(REFERENCE, bundle, Device("cpu"))


def test_each_camera_has_its_own_and_all_others_the_common_one(bundle: Bundle, engine: Engine) -> None:
    predictor = Predictor(bundle, engine)
    image = models.images(1)[0]

    found = {camera: predictor.predict([image], camera)[0] for camera in ("strict", "lax", "c3", "")}

    assert [found[camera].threshold for camera in ("strict", "lax")] == [0.0, 1e9]
    assert found["c3"].threshold == found[""].threshold == pytest.approx(0.01)
    assert (found["strict"].verdict, found["lax"].verdict) == (Verdict.NG, Verdict.OK)
    assert found["strict"].label_map.any()
    assert not found["lax"].label_map.any()
    assert len({prediction.score for prediction in found.values()}) == 1


def test_the_setting_overrides_them_all(bundle: Bundle, engine: Engine) -> None:
    predictor = Predictor(bundle, engine, threshold=0.5)

    assert {predictor.threshold_for(camera) for camera in ("strict", "lax", "c3")} == {0.5}


def test_an_engine_must_give_the_same_verdicts_at_every_threshold_in_force(tmp_path: Path) -> None:
    folder = models.copy_to(tmp_path / "part", threshold=0.01)
    optimise(folder, held_out=models.images(8), graphs=False)
    reference = read_golden(load_bundle(folder)).scores
    assert reference is not None
    # Given an engine that is a little off, and a camera whose threshold lies where that makes other verdicts
    measured = Measurement("paddle", "bf16", (reference * 1.001).tolist(), 1.0)
    between = sorted(reference)[4] * 1.0005

    assert judge_at_each(measured, reference, [1e9], GateSettings()).refused == ""
    one = judge_at_each(measured, reference, [1e9, between, 1e8], GateSettings(max_flips=0.01))
    assert "of the verdicts flip" in one.refused
    assert judge_at_each(measured, reference, [between], GateSettings(max_flips=0.5)).refused == ""


def test_a_setting_is_then_the_only_one_in_force(bundle: Bundle, tmp_path: Path) -> None:
    flags = {"cache": str(tmp_path), "engine": "paddle", "precision": "fp32", "batch.max_batch": 4}
    for threshold in (None, 0.5):
        _, candidates = look_at_all(bundle, Device("cpu"), load(flags | {"threshold": threshold})[0])
        assert [one.refused for one in candidates] == [""]
