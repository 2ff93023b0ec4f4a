"""From good images to a calibrated bundle: fit, export, score what was held out, calibrate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from worker.inference.bundle import GOLDEN, MANIFEST, ONNX, ONNX_INT8, Manifest, write_manifest
from worker.inference.health import Survey
from worker.inference.optimise import optimise
from worker.inference.predictor import Predictor
from worker.inference.preprocess import Transforms
from worker.training.calibrate import Calibration, calibrate
from worker.training.data import Samples
from worker.training.export import IMAGENET_MEAN, IMAGENET_STD, export
from worker.training.fit import Progress, Recipe, fit, random_teacher
from worker.training.weights import Weights
from worker.types import Image

TRANSFORMS = Transforms(size=(256, 256), interpolation="LINEAR", mean=IMAGENET_MEAN, std=IMAGENET_STD)
_SCORE_BATCH = 8


def make_bundle(
    folder: Path,
    teacher: Weights | None,
    good: Iterable[Image],
    held_out: Iterable[Image],
    *,
    recipe: Recipe,
    false_reject_rate: float = 0.01,
    data_digest: str = "",
    name: str = "",
    version: str = "",
    any_size: bool = False,
    graphs: bool = True,
    progress: Progress | None = None,
) -> Calibration:
    """Fit a model on `good` images (H×W×3 RGB uint8), calibrate it on `held_out` ones, write it to `folder`.

    The manifest is written last: a folder where this did not end has none, like any bare export.
    `name` is the folder's and `version` the time where they are not given.

    Args:
        teacher: folded weights; None draws a random teacher by the recipe's seed.
        graphs: write the graphs of other engines too, as far as their converters are installed.
        any_size: do not record that all photographs had one size: frames of any shape are welcome.
    """
    survey = Survey()
    samples = Samples(survey.passing(good), TRANSFORMS)
    kept_back = Samples(survey.passing(held_out), TRANSFORMS)  # read before the fit, so that a bad image stops it early
    network = fit(teacher or random_teacher(recipe.seed, samples), samples, recipe, progress)
    (folder / MANIFEST).unlink(missing_ok=True)  # it speaks of the files that are about to be replaced
    export(network, folder, TRANSFORMS.map_shape, TRANSFORMS.mean, TRANSFORMS.std, half=True)
    calibration = calibrate(list(score(folder, kept_back.images)), false_reject_rate)
    for file in (GOLDEN, ONNX, ONNX_INT8):
        (folder / file).unlink(missing_ok=True)  # of an earlier model
    now = datetime.now(UTC)
    manifest = Manifest(
        name=name or folder.resolve().name,
        version=version or now.strftime("%Y%m%dT%H%M%S"),
        created=now.isoformat(timespec="seconds"),
        data_digest=data_digest,
        threshold=calibration.threshold,
        false_reject_target=false_reject_rate,
        score_statistics=calibration.statistics,
        image_statistics=survey.statistics(with_size=not any_size),
    )
    write_manifest(folder, manifest)
    optimise(folder, samples.images, kept_back.images, graphs=graphs)
    return calibration


def score(folder: Path, images: Iterable[Image]) -> Iterator[float]:
    """The score of each image by the model in `folder`, computed as a worker does it."""
    predictor = Predictor.open(folder)
    waiting = iter(images)
    while batch := list(islice(waiting, _SCORE_BATCH)):
        yield from (prediction.score for prediction in predictor.predict(batch))
