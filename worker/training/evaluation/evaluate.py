"""A model on a data set: every test image goes the way that a frame goes in serving, and what came of it is counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from worker.errors import SourceError
from worker.inference.bundle import is_learned, read_manifest
from worker.inference.health import ImageChecks
from worker.inference.postprocess import eroded, opened
from worker.inference.predictor import Predictor
from worker.settings import LimitSettings, Settings
from worker.training.data import digest_of, pixels_digest, read_image
from worker.training.dataset.layouts import check_all_good, layout_of, open_dataset
from worker.training.dataset.masks import Mask
from worker.training.dataset.samples import Dataset, Layout, Sample
from worker.training.evaluation.figures import Figures, Map, PixelTally, figures_of, verdict_of
from worker.training.evaluation.masks import at_size, mask_of
from worker.training.evaluation.metrics import Share
from worker.training.evaluation.pixels import PixelFigures
from worker.types import Verdict

NOT_FINITE = "score_not_finite"


@dataclass(frozen=True, slots=True)
class Judgement:
    """One image: its score, and the verdict of a line. `problem` says why that is INVALID, else it is empty.

    `in_place`: whether the labelMap meets the mask, where there are both; None where there are not.
    """

    sample: Sample
    score: float
    verdict: Verdict
    problem: str = ""
    in_place: bool | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A model on a data set.

    `figures.….pixels` are those of the opened maps, of which score and labelMap are made; `raw_pixels`, of all
    defects, those of the maps before, as papers give them. `camera_thresholds`: how many cameras the model has a
    threshold of their own for; these are not in force here. `learned` of the images are ones that it learned from.
    """

    model: str
    model_folder: Path
    is_calibrated: bool
    camera_thresholds: int
    engine: str
    precision: str
    device: str
    data: Path
    layout: Layout
    data_digest: str
    learned: int
    without_mask: int
    judgements: tuple[Judgement, ...]
    figures: Figures
    raw_pixels: PixelFigures | None

    @property
    def invalid_reasons(self) -> dict[str, int]:
        """Why images are INVALID, by their short words: how many."""
        reasons = (one.problem.partition(":")[0] for one in self.judgements if one.verdict is Verdict.INVALID)
        return dict(sorted(Counter(reasons).items()))

    @property
    def in_place(self) -> Share:
        """Of the defects found that have a mask, those whose labelMap meets it."""
        known = [one.in_place for one in self.judgements if one.in_place is not None]
        return Share(sum(known), len(known))


def open_tests(folder: Path, layout: Layout | None = None, limits: LimitSettings | None = None) -> Dataset:
    """A data set that has something to test on: MVTec AD's without its `train` too, or a plain folder of good images.

    Raises:
        SourceError: it cannot be read, or there is nothing to test on.
    """
    try:
        is_test_alone = layout is None and (folder / "test").is_dir() and layout_of(folder) is Layout.PLAIN
        dataset = open_dataset(folder, Layout.MVTEC if is_test_alone else layout, limits=limits)
    except OSError as error:
        raise SourceError(f"{error.filename or folder}: cannot be read: {error.strerror}") from error
    check_all_good(dataset)
    if not tests_of(dataset):
        where = "named in val.txt" if dataset.layout is Layout.PADDLEX else "in a folder below test/"
        raise SourceError(f"{folder}: nothing to test on: no image is {where}")
    return dataset


def tests_of(dataset: Dataset) -> Sequence[Sample]:
    """What a model is judged on: of a plain folder all images, which are taken to be good."""
    return dataset.samples if dataset.layout is Layout.PLAIN else dataset.tests


def evaluate(
    predictor: Predictor,
    dataset: Dataset,
    settings: Settings,
    *,
    device: str = "cpu",
    progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Judge every test image as a line with these settings would: its checks, the model, the opened map.

    Args:
        predictor: with the threshold in force.
        settings: `limits`, `watch` and `batch.max_batch` are used.
        device: names where the predictor runs.
        progress: told after each batch how many images are done.

    Raises:
        SourceError: an image or a mask cannot be read, or they do not fit.
        EngineError: the device failed.
    """
    samples = tests_of(dataset)
    manifest = read_manifest(predictor.bundle.folder)
    learned = manifest.learned_pictures if manifest else frozenset()
    run = _Run(predictor, settings)
    waiting = iter(samples)
    while batch := list(islice(waiting, settings.batch.max_batch)):
        run.judge(batch)
        if progress:
            progress(len(run.judgements))
    return Evaluation(
        model=predictor.bundle.identity,
        model_folder=predictor.bundle.folder,
        camera_thresholds=len(predictor.bundle.camera_thresholds),
        is_calibrated=manifest is not None or predictor.threshold != predictor.bundle.threshold,
        engine=predictor.engine.name,
        precision=predictor.engine.precision,
        device=device,
        data=dataset.folder,
        layout=dataset.layout,
        data_digest=digest_of(run.pictures),
        learned=sum(is_learned(picture, learned) for picture in run.pictures),
        without_mask=run.without_mask,
        judgements=tuple(run.judgements),
        figures=run.figures(),
        raw_pixels=run.raw.figures({sample.kind for sample in samples if not sample.is_good}),
    )


class _Run:
    """Images in; judgements and pixel counts out."""

    def __init__(self, predictor: Predictor, settings: Settings) -> None:
        self.judgements: list[Judgement] = []
        self.without_mask = 0
        self.pictures: list[str] = []
        self.opened, self.raw = PixelTally(), PixelTally()
        self._predictor = predictor
        self._limits = settings.limits
        self._checks = ImageChecks(settings.watch, predictor.bundle.image_statistics)

    def judge(self, samples: Sequence[Sample]) -> None:
        """One batch, by one call of the device. Only what the model sees of an image is kept meanwhile."""
        prepared = list(self._prepared(samples))
        maps = self._predictor.infer([inputs for inputs, _, _ in prepared])
        for sample, (_, problem, mask), anomaly_map in zip(samples, prepared, maps, strict=True):
            self._add(sample, problem, mask, anomaly_map)

    def figures(self) -> Figures:
        return figures_of(
            [one.score for one in self.judgements],
            [one.sample.kind for one in self.judgements],
            [one.verdict for one in self.judgements],
            self._predictor.threshold,
            self.opened,
        )

    def _prepared(self, samples: Sequence[Sample]) -> Iterator[tuple[npt.NDArray[np.generic], str, Mask | None]]:
        for sample in samples:
            image = read_image(sample.path, self._limits)
            self.pictures.append(pixels_digest(image))
            mask = self._mask(sample, (image.shape[0], image.shape[1]))
            yield self._predictor.preprocess(image), self._checks.problem(image), mask

    def _mask(self, sample: Sample, image_size: tuple[int, int]) -> Mask | None:
        """At the size of the maps; None where it is not known what is wrong where, or nothing is."""
        if sample.is_good:
            return None
        if sample.mask is not None:
            mask = mask_of(sample.path, sample.mask, image_size, self._limits)
            if mask.any():
                return at_size(mask, self._predictor.bundle.transforms.map_shape)
        self.without_mask += 1
        return None

    def _add(self, sample: Sample, problem: str, mask: Mask | None, anomaly_map: Map) -> None:
        score, threshold = float("nan"), np.float32(self._predictor.threshold)
        in_place = None
        if np.isfinite(anomaly_map).all():
            opened_map = opened(eroded(anomaly_map))
            score = float(opened_map.max())
            self.opened.add(sample.kind, opened_map, mask)
            self.raw.add(sample.kind, anomaly_map, mask)
            if mask is not None and not problem and score > threshold:
                in_place = bool((opened_map > threshold)[mask].any())
        verdict = verdict_of(score, self._predictor.threshold)
        problem = problem or (NOT_FINITE if verdict is Verdict.INVALID else "")
        self.judgements.append(Judgement(sample, score, Verdict.INVALID if problem else verdict, problem, in_place))
