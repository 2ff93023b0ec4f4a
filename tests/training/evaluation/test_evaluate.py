"""What an evaluation counts when a model fails, and how large its report can become."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import models
import numpy as np
import numpy.typing as npt
from training.evaluation import parts

from worker.inference.bundle import load_bundle
from worker.inference.engines.common import Synchronous
from worker.inference.predictor import Predictor
from worker.settings import Settings
from worker.training.evaluation.document import document
from worker.training.evaluation.evaluate import evaluate, open_tests
from worker.training.evaluation.report import render
from worker.training.evaluation.table import share_text
from worker.types import Image, Verdict

Maps = npt.NDArray[np.float32]


class Wired(Synchronous):
    """An engine whose maps are a function of the frames' grey levels."""

    name, precision = "wired", "fp32"

    def __init__(self, rule: Callable[[Maps], Maps]) -> None:
        self._rule = rule

    def encode(self, image: Image) -> Maps:
        return image[..., 0].astype(np.float32)

    def run(self, batch: Maps) -> Maps:
        return self._rule(batch)


def predictor(rule: Callable[[Maps], Maps], threshold: float = 0.5) -> Predictor:
    return Predictor(load_bundle(models.bare_export()), Wired(rule), threshold)


def test_maps_that_are_no_numbers_are_invalid_and_never_ok(tmp_path: Path) -> None:
    data = parts.write_mvtec(tmp_path, good=3, kinds=("dent",), each=2)
    broken = predictor(lambda batch: np.full_like(batch, np.nan))

    found = evaluate(broken, open_tests(data), Settings())

    assert {one.verdict for one in found.judgements} == {Verdict.INVALID}
    assert found.invalid_reasons == {"score_not_finite": 5}
    assert found.figures.false_rejects.value is None
    assert found.figures.bad is not None
    assert share_text(found.figures.bad.recall).startswith("0 of 2")
    assert found.figures.bad.auroc is None
    assert document(found)["images"][0]["score"] is None
    assert "score_not_finite 5" in " ".join(document(found)["notes"])
    assert "INVALID on a line" in render(found, broken, Settings().limits)


def test_a_defect_found_elsewhere_than_its_mask_is_told_apart(tmp_path: Path) -> None:
    def corner(batch: Maps) -> Maps:
        maps = np.zeros_like(batch)
        maps[:, -12:, -12:] = 1
        return maps

    data = parts.write_mvtec(tmp_path, good=1, kinds=("dent",), each=2)

    found = evaluate(predictor(corner), open_tests(data), Settings())

    assert found.figures.bad is not None
    assert found.figures.bad.recall.count == 2
    assert (found.in_place.count, found.in_place.of) == (0, 2)
    assert "2 were found elsewhere only" in " ".join(document(found)["notes"])


def test_progress_counts_to_the_last_image(tmp_path: Path) -> None:
    told: list[int] = []

    evaluate(
        predictor(np.zeros_like),
        open_tests(parts.write_mvtec(tmp_path, good=7)),
        Settings(batch={"max_batch": 4}),
        progress=told.append,
    )

    assert told == [4, 8, 12, 13]


def test_a_report_of_many_pictures_stays_small(tmp_path: Path) -> None:
    # Given pictures that no JPEG makes small, all of them rejected, more than are shown,
    chance = np.random.default_rng(0)
    noise = chance.integers(0, 256, (300, 300, 3), dtype=np.uint8)
    for number in range(14):
        parts.write(tmp_path / "test" / ("good", "dent")[number % 2] / f"{number}.png", np.roll(noise, number, axis=0))
    for number in range(30):
        path = tmp_path / "test" / ("good", "dent")[number % 2] / f"again {number}.png"
        path.symlink_to(tmp_path / "test" / ("good", "dent")[number % 2] / f"{number % 14}.png")
    rejecting = predictor(np.ones_like)

    text = render(evaluate(rejecting, open_tests(tmp_path), Settings()), rejecting, Settings().limits)

    assert "12 of 22" in text
    assert len(text) < 8_000_000
