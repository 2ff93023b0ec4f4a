"""The whole prediction on the real engine: batches equal singles, and both equal PaddleX's own formula."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import models
import numpy as np
import numpy.typing as npt
import pytest
from skimage import morphology

from worker.devices import Device
from worker.errors import BundleError, EngineError, SettingsError
from worker.inference.engines import Variant, open_engine
from worker.inference.predictor import Predictor
from worker.inference.preprocess import Transforms, preprocess
from worker.types import Image, Prediction, Verdict

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
COUNT = 12


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor.open(models.bare_export())


@pytest.fixture(scope="module")
def images() -> list[Image]:
    return models.images(COUNT)


@pytest.fixture(scope="module")
def singles(predictor: Predictor, images: list[Image]) -> list[Prediction]:
    return [prediction for image in images for prediction in predictor.predict([image])]


def paddlex(
    image: Image, network: Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """PaddleX's anomaly map and labelMap, step by step as its code has them.

    ReadImage(RGB), Resize(LINEAR), Normalize (float32: times 1/255/std, minus mean/std), ToCHWImage, ToBatch;
    the network; then map > 0.01, opening with disk(4), times 255.
    """
    resized = cv2.resize(image, (models.SIDE, models.SIDE), interpolation=cv2.INTER_LINEAR)
    scale = [np.float32(1.0 / 255 / std) for std in STD]
    shift = [np.float32(-mean / std) for mean, std in zip(MEAN, STD, strict=True)]
    channels = [resized[..., c].astype(np.float32) * scale[c] + shift[c] for c in range(3)]
    anomaly_map = network(np.stack(channels)[np.newaxis])[0].squeeze()
    mask = np.zeros_like(anomaly_map)
    mask[anomaly_map > 0.01] = 1
    label_map = morphology.opening(mask, morphology.disk(4)) * 255
    return anomaly_map, label_map.astype(np.uint8)


@pytest.mark.parametrize("size", [2, 3, 5, COUNT])
def test_a_batch_gives_what_its_images_give_alone(
    size: int, predictor: Predictor, images: list[Image], singles: list[Prediction]
) -> None:
    for start in range(0, COUNT, size):
        batch = predictor.predict(images[start : start + size])
        for together, alone in zip(batch, singles[start : start + size], strict=True):
            assert together.score == pytest.approx(alone.score, abs=1e-5)
            assert np.array_equal(together.label_map, alone.label_map)
            assert together.image_size == alone.image_size


def test_batched_and_single_results_are_paddlex_own(
    predictor: Predictor, images: list[Image], singles: list[Prediction]
) -> None:
    batch = predictor.predict(images)
    for image, alone, together in zip(images, singles, batch, strict=True):
        anomaly_map, label_map = paddlex(image, predictor.engine.run)
        opened = morphology.opening(anomaly_map, morphology.disk(4))
        for prediction in (alone, together):
            assert prediction.score == pytest.approx(float(opened.max()), abs=1e-5)
            assert np.array_equal(prediction.label_map, label_map)
            assert (prediction.verdict is Verdict.NG) == bool(label_map.any())
    assert {one.verdict for one in singles} == {Verdict.OK, Verdict.NG}  # the images show both


def test_the_exported_graph_computes_the_stfpm_formula(predictor: Predictor, images: list[Image]) -> None:
    # Given the features that teacher and student of the same seed give, and the formula in plain numpy
    from worker.training.framework import F, paddle
    from worker.training.network import Backbone

    paddle.seed(7)
    chance = np.random.default_rng(7)
    teacher, student = Backbone(folded=False), Backbone(folded=False)
    noisy = {
        name: value + models.NOISE * chance.standard_normal(value.shape).astype(np.float32) * value.std()
        for name, value in teacher.weights().items()
    }
    student.load(noisy)
    teacher.eval()
    student.eval()
    batch = np.stack([predictor.preprocess(image) for image in images[:2]])
    expected = np.ones((2, models.SIDE, models.SIDE), np.float32)
    with paddle.no_grad():
        features = zip(teacher(paddle.to_tensor(batch)), student(paddle.to_tensor(batch)), strict=True)
        for one, other in features:
            t, s = (f.numpy() / np.linalg.norm(f.numpy(), axis=1, keepdims=True) for f in (one, other))
            distance = paddle.to_tensor(((t - s) ** 2).sum(axis=1, keepdims=True))
            size = [models.SIDE, models.SIDE]
            expected *= F.interpolate(distance, size=size, mode="bilinear", align_corners=False).numpy()[:, 0]
    # Then the graph with its folded BatchNorm, in oneDNN, agrees
    assert np.allclose(predictor.engine.run(batch), expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("interpolation", ["NEAREST", "LINEAR", "BICUBIC", "AREA", "LANCZOS4"])
def test_preprocessing_is_paddlex_own_to_the_last_bit(interpolation: str, images: list[Image]) -> None:
    transforms = Transforms((48, 32), interpolation, MEAN, STD)
    codes = {"BICUBIC": cv2.INTER_CUBIC}
    code = codes.get(interpolation, getattr(cv2, f"INTER_{interpolation}", None))
    for image in [*images, np.ascontiguousarray(images[0][:, ::-1])]:
        resized = cv2.resize(image, (48, 32), interpolation=code).astype(np.float32)
        for channel in range(3):
            scale = np.float32(1.0 / 255 / STD[channel])
            expected = resized[..., channel] * scale + np.float32(-MEAN[channel] / STD[channel])
            assert np.array_equal(preprocess(image, transforms)[channel], expected)


def test_an_image_of_the_right_size_is_not_resampled() -> None:
    image = np.random.default_rng(1).integers(0, 255, (16, 24, 3), dtype=np.uint8)
    made = preprocess(image, Transforms((24, 16), "LINEAR", (0.0,) * 3, (1.0,) * 3))
    assert made.shape == (3, 16, 24)
    assert made.flags.c_contiguous
    assert np.allclose(made.transpose(1, 2, 0) * 255, image, atol=1e-3)


def test_no_images_give_no_predictions(predictor: Predictor) -> None:
    assert predictor.predict([]) == []


def test_the_threshold_can_be_overridden_and_stands_on_the_prediction(images: list[Image], tmp_path: Path) -> None:
    folder = models.copy_to(tmp_path / "m", threshold=1e9)
    (never,) = Predictor.open(folder).predict(images[:1])
    (always,) = Predictor.open(folder, threshold=0.0).predict(images[:1])
    assert (never.verdict, always.verdict) == (Verdict.OK, Verdict.NG)
    assert (never.threshold, always.threshold) == (1e9, 0.0)


def test_an_engine_warms_up_for_every_batch_size_and_runs_them_in_any_order(predictor: Predictor) -> None:
    predictor.warm_up(4)
    for size in (4, 1, 3, 2, 4):
        assert predictor.engine.run(np.zeros((size, 3, models.SIDE, models.SIDE), np.float32)).shape[0] == size


def test_a_batch_that_the_graph_cannot_take_is_an_engine_error_and_the_next_one_runs(predictor: Predictor) -> None:
    with pytest.raises(EngineError):
        predictor.engine.run(np.zeros((1, 5, models.SIDE, models.SIDE), np.float32))
    assert predictor.engine.run(np.zeros((1, 3, models.SIDE, models.SIDE), np.float32)).shape[0] == 1


@pytest.mark.parametrize("name", ["inference.json", "inference.pdiparams"])
def test_a_damaged_bare_export_is_a_bundle_error(name: str, tmp_path: Path) -> None:
    folder = models.copy_to(tmp_path / "m")
    (folder / name).write_bytes((folder / name).read_bytes()[:1000])
    with pytest.raises(BundleError, match="paddle cannot load it"):
        Predictor.open(folder)


def test_an_unknown_engine_is_refused_naming_those_there_are(predictor: Predictor) -> None:
    with pytest.raises(SettingsError, match="allowed are paddle"):
        open_engine(Variant("magic", "fp32"), predictor.bundle, Device("cpu"))


OLD_FORMAT = """
import sys
from worker.training.framework import F, nn, paddle
from worker.training.network import Backbone

class Old(nn.Layer):
    def __init__(self):
        super().__init__()
        self.teacher, self.student = Backbone(folded=False), Backbone(folded=False)

    def forward(self, x):
        result = None
        for t, s in zip(self.teacher(x), self.student(x)):
            t = t / ((t * t).sum(axis=1, keepdim=True) + 1e-12) ** 0.5
            s = s / ((s * s).sum(axis=1, keepdim=True) + 1e-12) ** 0.5
            distance = ((t - s) * (t - s)).sum(axis=1, keepdim=True)
            resized = F.interpolate(distance, size=x.shape[2:], mode="bilinear", align_corners=False)
            result = resized if result is None else result * resized
        return result

paddle.seed(7)
network = Old()
network.eval()
spec = paddle.static.InputSpec([None, 3, 64, 64], "float32", "x")
paddle.jit.save(network, sys.argv[1] + "/inference", input_spec=[spec])
"""


def test_an_export_of_the_older_format_gives_the_same_scores(tmp_path: Path, images: list[Image]) -> None:
    # Given one network, saved as inference.pdmodel as PaddleX did before it had inference.json, and as we export it
    from worker.training.export import export
    from worker.training.framework import paddle
    from worker.training.network import Backbone, Stfpm

    before, now = tmp_path / "before", tmp_path / "now"
    paddle.seed(7)
    export(Stfpm(Backbone(folded=False), Backbone(folded=False)), now, (models.SIDE, models.SIDE))
    before.mkdir()
    script = tmp_path / "save.py"  # a file: paddle reads the source of what it makes a graph of
    script.write_text(OLD_FORMAT)
    done = subprocess.run(
        [sys.executable, str(script), str(before)],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"FLAGS_enable_pir_api": "0"},
    )
    if not (before / "inference.pdmodel").is_file():
        pytest.skip(f"this paddle writes no inference.pdmodel any more: {done.stderr[-200:]}")
    (before / "inference.yml").write_bytes((now / "inference.yml").read_bytes())
    # Then both predict the same, the old one in batches too
    old, new = Predictor.open(before), Predictor.open(now)
    assert old.bundle.graph.name == "inference.pdmodel"
    expected = pytest.approx([one.score for one in new.predict(images[:3])], rel=1e-4)
    assert [one.score for one in old.predict(images[:3])] == expected
    assert [old.predict([image])[0].score for image in images[:3]] == expected
