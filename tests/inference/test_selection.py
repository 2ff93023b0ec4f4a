"""Choosing an engine for a real model on this machine: golden frames, measuring, the cache, refusals."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import models
import numpy as np
import numpy.typing as npt
import pytest

from worker.devices import Device
from worker.errors import BundleError, EngineRefused
from worker.inference import own_process
from worker.inference.bundle import Bundle, load_bundle
from worker.inference.engines import REFERENCE, Engine, open_engine
from worker.inference.selection import cache as caching
from worker.inference.selection import measure as measuring
from worker.inference.selection.choose import Choice, choose, judge, look_at_all
from worker.inference.selection.golden import KEPT, altered, generated, read_golden, spread, with_altered, write_golden
from worker.inference.selection.measure import Measurement, score
from worker.settings import GateSettings, Settings, load
from worker.types import Image

CPU = Device("cpu")


def settings(folder: Path, **flags: object) -> Settings:
    dotted = {name.replace("__", "."): value for name, value in flags.items()}
    return load({"cache": str(folder), "batch.max_batch": 4, **dotted})[0]


@pytest.fixture
def with_golden(tmp_path: Path) -> Bundle:
    """The tests' model with golden frames and their scores."""
    folder = models.copy_to(tmp_path / "model")
    engine = open_engine(REFERENCE, load_bundle(folder), CPU)
    frames = generated((models.SIDE, models.SIDE), 8)
    write_golden(folder / "golden.npz", frames, lambda all_frames: score(engine, all_frames))
    models.copy_to(folder, name="tiny", threshold=0.01)
    return load_bundle(folder)


def test_auto_takes_the_fastest_that_passes_and_keeps_what_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = load_bundle(models.bare_export())
    first = choose(bundle, CPU, settings(tmp_path))
    passed = {one.variant: one.frame_ms for one in first.candidates if not one.refused}
    assert first.variant in passed
    assert passed[first.variant] <= min(passed.values()) * 1.05
    assert {"paddle", "openvino", "onnxruntime"} == {one.variant.engine for one in first.candidates}
    # When it is asked again, nothing may be converted or measured anew
    monkeypatch.setattr(caching, "run_in_own_process", None)
    monkeypatch.setattr(caching, "convert", None)
    again = choose(bundle, CPU, settings(tmp_path))
    assert again.as_dict() == first.as_dict()


@pytest.mark.parametrize(("engine", "precision"), [("paddle", "fp32"), ("openvino", "fp32"), ("onnxruntime", "auto")])
def test_what_the_settings_name_is_taken_and_nothing_else_is_measured(
    engine: str, precision: str, tmp_path: Path, with_golden: Bundle
) -> None:
    choice = choose(with_golden, CPU, settings(tmp_path, engine=engine, precision=precision))
    assert choice.variant.engine == engine
    assert {one.variant.engine for one in choice.candidates} == {engine}


def test_an_engine_that_is_off_by_one_percent_is_refused(
    tmp_path: Path, with_golden: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wrong:
        """The real engine, its maps one percent too high."""

        def __init__(self, real: Engine) -> None:
            self.real, self.name, self.precision = real, real.name, real.precision

        def encode(self, image: Image) -> npt.NDArray[np.generic]:
            return self.real.encode(image)

        def run(self, batch: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
            return self.real.run(batch) * np.float32(1.01)

    right = measuring.measure(REFERENCE, with_golden, CPU, 4)
    monkeypatch.setattr(measuring, "open_engine", lambda *asked: Wrong(open_engine(*asked)))
    wrong = measuring.measure(REFERENCE, with_golden, CPU, 4)
    reference = read_golden(with_golden).scores
    assert reference is not None
    assert judge(right, reference, 0.01, GateSettings()).refused == ""
    assert "1.00% off: gate.max_error_fp32" in judge(wrong, reference, 0.01, GateSettings()).refused
    for precision in ("bf16", "int8"):
        refused = judge(dataclasses.replace(wrong, precision=precision), reference, 0.01, GateSettings()).refused
        assert "shifted by +1.00%: gate.max_shift" in refused


def test_where_nothing_passes_the_error_says_what_each_was_refused_for(tmp_path: Path, with_golden: Bundle) -> None:
    wrong = dict(np.load(with_golden.golden)) if with_golden.golden else {}
    wrong["scores"] = wrong["scores"] * 1.03
    assert with_golden.golden
    np.savez(with_golden.golden, **wrong)
    bundle = load_bundle(models.copy_to(with_golden.folder, name="tiny", threshold=0.01))  # vouches for the file
    with pytest.raises(EngineRefused, match=r"paddle fp32 refused: a score is 2\.91% off"):
        choose(bundle, CPU, settings(tmp_path, engine="paddle"))


def test_what_is_not_installed_or_has_no_graph_is_an_error_that_says_how_to_get_it(
    tmp_path: Path, with_golden: Bundle
) -> None:
    with pytest.raises(EngineRefused, match=r"only paddle fp32.*int8 takes `line-worker optimize"):
        choose(with_golden, CPU, settings(tmp_path, engine="openvino", precision="int8"))


def test_an_engine_that_crashes_is_refused_for_an_hour(
    tmp_path: Path, with_golden: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = settings(tmp_path, engine="paddle", precision="fp32")
    with monkeypatch.context() as patch:
        patch.setattr(own_process.sys, "executable", "/bin/false")
        with pytest.raises(EngineRefused, match="it ended with exit code 1"):
            choose(with_golden, CPU, asked)
    with pytest.raises(EngineRefused, match="it ended with exit code 1"):
        choose(with_golden, CPU, asked)
    monkeypatch.setattr(caching, "_BELIEVED_S", 0.0)
    assert choose(with_golden, CPU, asked).variant == REFERENCE


def test_a_damaged_graph_in_the_cache_is_made_anew(tmp_path: Path) -> None:
    bundle, asked = load_bundle(models.bare_export()), settings(tmp_path, engine="openvino", precision="fp32")
    graph = choose(bundle, CPU, asked).bundle.graph_for("fp32")
    graph.write_bytes(graph.read_bytes()[:3000])
    again = choose(bundle, CPU, asked)
    assert open_engine(again.variant, again.bundle, CPU).name == "openvino"


def test_scores_of_other_frames_are_refused(tmp_path: Path, with_golden: Bundle) -> None:
    asked = settings(tmp_path, engine="paddle", precision="fp32")
    choose(with_golden, CPU, asked)
    (file,) = (tmp_path / "engines").rglob("paddle-fp32.json")
    file.write_text(json.dumps(json.loads(file.read_text()) | {"scores": [1.0]}))
    with pytest.raises(EngineRefused, match="1 scores for 16 golden frames"):
        choose(with_golden, CPU, asked)


def test_a_cache_that_cannot_be_written_to_costs_time_and_nothing_else(tmp_path: Path, with_golden: Bundle) -> None:
    (tmp_path / "file").write_text("in the way")
    choice: Choice = choose(with_golden, CPU, settings(tmp_path / "file", engine="paddle", precision="fp32"))
    assert choice.variant == REFERENCE


def test_another_threshold_is_judged_anew_from_the_same_measurements(tmp_path: Path, with_golden: Bundle) -> None:
    asked = settings(tmp_path, engine="paddle", precision="fp32")
    _, (before,) = look_at_all(with_golden, CPU, asked)
    _, (after,) = look_at_all(with_golden, CPU, asked.model_copy(update={"threshold": 0.5}))
    assert before.frame_ms == after.frame_ms


def test_a_folder_a_device_and_a_torn_measurement_is_made_again(tmp_path: Path, with_golden: Bundle) -> None:
    asked = settings(tmp_path, engine="paddle", precision="fp32")
    choose(with_golden, CPU, asked)
    choose(with_golden, Device("cpu", cores=(0,)), asked)
    files = sorted((tmp_path / "engines").rglob("paddle-fp32.json"))
    assert len(files) == 2
    files[0].write_text('{"engine": "pad')
    files[1].write_text("[]")
    choose(with_golden, CPU, asked)
    assert sorted(len(file.read_text()) > 100 for file in files) == [False, True]


def test_golden_frames_come_back_as_they_were(with_golden: Bundle) -> None:
    golden = read_golden(with_golden)
    frames = generated((models.SIDE, models.SIDE), 8)
    assert np.array_equal(golden.frames, with_altered(frames))
    engine = open_engine(REFERENCE, with_golden, CPU)
    assert golden.scores is not None
    assert np.allclose(golden.scores, score(engine, golden.frames), rtol=1e-5)


def test_the_altered_copies_are_the_same_on_every_machine_and_all_differ() -> None:
    frames = generated((64, 48), 8)
    copies = altered(frames)
    assert all((copy != frame).any() for copy, frame in zip(copies, frames, strict=True))
    assert int(copies.astype(np.int64).sum()) == int(altered(frames).astype(np.int64).sum())
    assert copies.shape == frames.shape


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (8, 200)])
def test_frames_of_any_size_can_be_altered(size: tuple[int, int]) -> None:
    assert altered(generated(size, 4)).shape == (4, *size, 3)


def test_golden_photographs_are_taken_from_all_over() -> None:
    images = [np.full((4, 4, 3), number, np.uint8) for number in range(100)]
    kept = spread(images)[:, 0, 0, 0]
    assert (len(kept), kept[0], kept[-1]) == (KEPT, 0, 99)
    assert len(spread(images[:5])) == 5


@pytest.mark.parametrize("data", [b"", b"no zip", b"PK\x03\x04" + b"\0" * 100])
def test_golden_frames_that_cannot_be_read_are_a_bundle_error(data: bytes, with_golden: Bundle) -> None:
    assert with_golden.golden
    with_golden.golden.write_bytes(data)
    with pytest.raises(BundleError, match=r"golden\.npz: cannot be read"):
        read_golden(with_golden)


def test_golden_frames_of_another_model_are_a_bundle_error(with_golden: Bundle) -> None:
    assert with_golden.golden
    write_golden(with_golden.golden, generated((32, 32), 4), lambda frames: np.ones(len(frames)))
    with pytest.raises(BundleError, match="do not fit the model"):
        read_golden(with_golden)


def test_a_graph_that_the_manifest_does_not_list_is_not_used(tmp_path: Path) -> None:
    folder = models.copy_to(tmp_path / "model", name="tiny")
    (folder / "inference.onnx").write_bytes(b"slipped in")
    assert load_bundle(folder).onnx is None


def test_a_measurement_goes_through_json(tmp_path: Path, with_golden: Bundle) -> None:
    choose(with_golden, CPU, settings(tmp_path, engine="paddle", precision="fp32"))
    (file,) = (tmp_path / "engines").rglob("paddle-fp32.json")
    measured = Measurement(**json.loads(file.read_text()))
    assert measured.frame_ms > 0
    assert len(measured.scores) == 16
