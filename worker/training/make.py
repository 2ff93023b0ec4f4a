"""From a fitted student to a calibrated bundle: export, score what was held out, calibrate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import numpy as np

from worker.inference.bundle import LEARNED_DIGITS, MANIFEST, PADDLEX_THRESHOLD, Manifest, write_manifest
from worker.inference.health import ImageStatistics
from worker.inference.history import TRAINED
from worker.inference.optimise import optimise
from worker.inference.predictor import Predictor
from worker.inference.preprocess import Transforms
from worker.training.calibrate import Calibration, calibrate
from worker.training.data import Samples
from worker.training.export import IMAGENET_MEAN, IMAGENET_STD, export
from worker.training.fitting.recipe import AS_PUBLISHED, LayerWeights
from worker.training.network import Stfpm, folded_backbone
from worker.training.weights import Weights, fold
from worker.types import Image

_SCORE_BATCH = 8
_BELOW = 1 - 1e-5  # so that rounding takes no score that the threshold was set by above it
_LEAST_THRESHOLD = 1e-30  # of scores in float32; only a student that is its teacher has less


def transforms_of(size: tuple[int, int]) -> Transforms:
    """How an image becomes the graph's input of (H, W): resized, and normalised as ImageNet's were."""
    height, width = size
    return Transforms(size=(width, height), interpolation="LINEAR", mean=IMAGENET_MEAN, std=IMAGENET_STD)


def make_bundle(
    folder: Path,
    network: Stfpm,
    learned: Samples,
    held_out: Samples,
    *,
    image_statistics: ImageStatistics | None = None,
    false_reject_rate: float = 0.01,
    confidence: float = 0.95,
    data_digest: str = "",
    name: str = "",
    version: str = "",
    learned_pictures: Iterable[str] = (),
    note: str = "",
    graphs: bool = True,
) -> Calibration:
    """Write the model to `folder`, calibrated on images that it did not learn from.

    The map is scaled so that the threshold comes to PaddleX's 0.01: its masks, too, are those of the calibration.
    The manifest is written last: a folder where this did not end has none, like any bare export.
    `name` is the folder's and `version` the time where they are not given.

    Args:
        network: as `frozen_network` makes it.
        learned: what the int8 graph's ranges are taken from.
        image_statistics: of the good photographs; None: nothing is known of them.
        learned_pictures: digests of the pixels of all that was learned from or watched the fit.
        note: what the history tells people of this training.
        graphs: write the graphs of other engines too, as far as their converters are installed.
    """
    (folder / MANIFEST).unlink(missing_ok=True)  # it speaks of the files that are about to be replaced
    calibration = _export_calibrated(folder, network, held_out, false_reject_rate, confidence)
    now = datetime.now(UTC)
    manifest = Manifest(
        name=name or folder.resolve().name,
        version=version or now.strftime("%Y%m%dT%H%M%S"),
        created=now.isoformat(timespec="seconds"),
        data_digest=data_digest,
        threshold=calibration.threshold,
        false_reject_target=false_reject_rate,
        score_statistics=calibration.statistics,
        image_statistics=image_statistics,
        learned_pictures=frozenset(picture[:LEARNED_DIGITS] for picture in learned_pictures),
    )
    write_manifest(folder, manifest, action=TRAINED, note=note)
    optimise(folder, learned.images, held_out.images, graphs=graphs)
    return calibration


def _export_calibrated(
    folder: Path, network: Stfpm, held_out: Samples, false_reject_rate: float, confidence: float
) -> Calibration:
    """Twice: the second time with the map scaled so that its threshold is the one that PaddleX has in its code."""
    transforms = held_out.transforms

    def calibrated(scale: float) -> Calibration:
        network.scale = scale
        write_graph(network, folder, transforms)
        return calibrate(list(score(folder, distinct(held_out.images))), false_reject_rate, confidence)

    unscaled = calibrated(1.0)
    if unscaled.threshold < _LEAST_THRESHOLD:
        return unscaled
    scaled = calibrated(PADDLEX_THRESHOLD / unscaled.threshold * _BELOW)
    return replace(scaled, threshold=float(np.float32(PADDLEX_THRESHOLD)))


def write_graph(network: Stfpm, folder: Path, transforms: Transforms) -> None:
    """Into the folder, as a bundle has it: the convolutions as float16."""
    export(network, folder, transforms.map_shape, transforms.mean, transforms.std, half=True)


def frozen_network(teacher: Weights, student: Weights, layer_weights: LayerWeights = AS_PUBLISHED) -> Stfpm:
    """The network of folded teacher weights and a student's parameters and statistics, as a fitter gives them."""
    return Stfpm(folded_backbone(teacher), folded_backbone(fold(student)), layer_weights)


def distinct(images: Iterable[Image]) -> list[Image]:
    """Each picture once: to see one a hundred times tells no more than to see it once."""
    return list({image.tobytes(): image for image in images}.values())


def score(folder: Path, images: Iterable[Image]) -> Iterator[float]:
    """The score of each image by the model in `folder`, computed as a worker does it."""
    predictor = Predictor.open(folder)
    waiting = iter(images)
    while batch := list(islice(waiting, _SCORE_BATCH)):
        yield from (prediction.score for prediction in predictor.predict(batch))
