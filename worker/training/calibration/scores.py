"""The scores of good images in a folder, as a running line would give them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from worker.errors import SourceError
from worker.inference.bundle import is_learned, read_manifest
from worker.inference.health import ImageChecks
from worker.inference.predictor import Predictor
from worker.settings import Settings
from worker.settings.listed import NAME
from worker.training.data import digest_of, pixels_digest, read_image
from worker.training.dataset.layouts import GOOD, Layout, check_all_good, layout_of, open_dataset

CAMERA = re.compile(NAME)
_BATCH = 8
NOT_FINITE = "score_not_finite"


@dataclass(frozen=True, slots=True)
class Scored:
    """The score of one frame. `picture` is the same for the same picture; `camera` is empty where it is not known."""

    camera: str
    score: float
    picture: str


@dataclass(slots=True)
class Scores:
    """What was scored, and by what: `origin` is for the history. `left_out` counts, by reason, the frames that a
    running line would call INVALID, and which no threshold judges; `learned` those that the model learned from, whose
    scores are lower than those of frames to come."""

    scored: list[Scored] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    learned: int = 0
    origin: str = ""

    def digest(self) -> str:
        """sha256 over the pictures, whatever their order."""
        return digest_of(one.picture for one in self.scored)


def find_good_images(folder: Path) -> list[Path]:
    """Every image below a folder of good images.

    Raises:
        SourceError: there is no such folder, no image in it, it cannot be read, or it is a data set that has bad parts
            in it too.
    """
    try:
        if folder.is_dir() and layout_of(folder) is not Layout.PLAIN:
            raise SourceError(
                f"{folder}: is a data set, with bad parts in it or images that were learned from; name the folder of "
                f"good images that were kept back, such as test/{GOOD}"
            )
        dataset = open_dataset(folder)
        check_all_good(dataset)
        return [sample.path for sample in dataset.samples]
    except OSError as error:
        raise SourceError(f"{folder}: cannot be read: {error.strerror}") from error


def camera_folders(folder: Path, paths: Sequence[Path]) -> list[str]:
    """The camera of each image: the name of the folder's own sub-folder that it lies below; empty where in none.

    Raises:
        SourceError: no camera can have such a name, or no image is in a sub-folder.
    """
    parts = [path.relative_to(folder).parts for path in paths]
    cameras = [names[0] if len(names) > 1 else "" for names in parts]
    for name in sorted(set(cameras) - {""}):
        if not CAMERA.fullmatch(name):
            raise SourceError(f"{folder / name}: no camera has this name: 1 to 64 of A-Z a-z 0-9 _ . - are allowed")
    if not any(cameras):
        raise SourceError(f"{folder}: has no sub-folders; --per-camera takes one for each camera, with its name")
    return cameras


def score_images(
    predictor: Predictor,
    paths: Sequence[Path],
    cameras: Sequence[str],
    settings: Settings,
    advance: Callable[[], None] = lambda: None,
) -> Scores:
    """Score images as a worker does: with its limits, its checks and its preprocessing.

    Args:
        cameras: the camera of each image.
        advance: called after each image.

    Raises:
        SourceError: an image cannot be read, or none is left.
    """
    engine = predictor.engine
    found = Scores(origin=f"{engine.name} {engine.precision}")
    checks = ImageChecks(settings.watch, predictor.bundle.image_statistics)
    manifest = read_manifest(predictor.bundle.folder)
    learned = manifest.learned_pictures if manifest else frozenset()

    def trusted() -> Iterator[tuple[str, str, npt.NDArray[np.float32]]]:
        for path, camera in zip(paths, cameras, strict=True):
            image, picture = read_image(path, settings.limits), ""
            advance()
            if problem := checks.problem(image):
                found.left_out[problem.partition(":")[0]] += 1
            elif is_learned(picture := pixels_digest(image), learned):
                found.learned += 1
            else:
                yield camera, picture, predictor.preprocess(image)

    waiting = trusted()
    while batch := list(islice(waiting, _BATCH)):
        maps = predictor.infer([one[2] for one in batch])
        for (camera, picture, _), anomaly_map in zip(batch, maps, strict=True):
            score = predictor.postprocess(anomaly_map, anomaly_map.shape).score
            if np.isfinite(score):
                found.scored.append(Scored(camera, score, picture))
            else:
                found.left_out[NOT_FINITE] += 1
    if not found.scored and found.learned:
        raise SourceError(
            f"{found.learned:,} of {len(paths):,} images are ones that the model learned from, and none is left to "
            "set a threshold by: take others"
        )
    if not found.scored:
        raise SourceError(f"none of {len(paths)} images is left: a running line would call them INVALID: "
                          f"{told(found.left_out.items())}")  # fmt: skip
    return found


def told(counts: Iterable[tuple[str, int]]) -> str:
    """`dark 2, blurred 1`: for people."""
    return ", ".join(f"{what} {count:,}" for what, count in sorted(counts))
