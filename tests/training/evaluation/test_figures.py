"""From scores, maps, masks and kinds to figures, with everything that may be missing or no number."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.training.dataset.masks import Mask
from worker.training.evaluation.figures import Map, figures
from worker.types import Verdict

NAN = float("nan")
_KIND = st.sampled_from(["good", "good", "scratch", "dent"])
_SCORE = st.floats(0, 4, width=32) | st.just(NAN) | st.just(float("inf"))


def test_verdicts_recall_and_false_rejects_at_the_threshold() -> None:
    scores = [0.1, 0.2, 0.9, 0.3, 0.8, 0.4, 0.7]
    kinds = ["good", "good", "good", "dent", "dent", "scratch", "scratch"]

    found = figures(scores, None, None, kinds, 0.5)

    assert found.good == {Verdict.OK: 2, Verdict.NG: 1, Verdict.INVALID: 0}
    assert (found.false_rejects.count, found.false_rejects.of) == (1, 3)
    assert [(kind.kind, kind.recall.count, kind.recall.of) for kind in found.kinds] == [
        ("dent", 1, 2),
        ("scratch", 1, 2),
    ]
    assert found.bad is not None
    assert (found.bad.recall.count, found.bad.recall.of) == (2, 4)
    assert found.bad.auroc is not None
    assert found.bad.auroc.value == pytest.approx(8 / 12)
    assert found.bad.pixels is None
    assert found.images == 7


def test_a_score_that_is_no_number_is_invalid_and_counts_as_not_found() -> None:
    found = figures([0.1, NAN, 0.9, float("inf"), NAN], None, None, ["good", "good", "dent", "dent", "dent"], 0.5)

    assert found.good == {Verdict.OK: 1, Verdict.NG: 0, Verdict.INVALID: 1}
    assert found.false_rejects.of == 1  # of those judged
    assert found.bad is not None
    assert found.bad.verdicts == {Verdict.OK: 0, Verdict.NG: 1, Verdict.INVALID: 2}
    assert (found.bad.recall.count, found.bad.recall.of) == (1, 3)
    assert found.bad.auroc is not None
    assert found.bad.auroc.value == 1.0
    assert found.invalid == 3


@given(st.lists(st.tuples(_SCORE, _KIND), max_size=30), st.floats(0, 3))
def test_any_set_gives_figures_that_add_up(samples: list[tuple[float, str]], threshold: float) -> None:
    scores, kinds = [score for score, _ in samples], [kind for _, kind in samples]

    found = figures(scores, None, None, kinds, threshold)

    assert found.images == len(samples)
    assert found.invalid == sum(not np.isfinite(score) for score in scores)
    assert sum(kind.images for kind in found.kinds) == (found.bad.images if found.bad else 0)
    assert (found.bad is None) == (set(kinds) <= {"good"})
    rejected = sum(kind.recall.count for kind in found.kinds) + found.false_rejects.count
    assert rejected == sum(np.isfinite(score) and np.float32(score) > np.float32(threshold) for score in scores)


def test_the_threshold_is_compared_as_serving_does() -> None:
    # 0.1 is lower than float32's 0.1, which a map would hold; in serving both are float32, and equal is OK.
    found = figures([float(np.float32(0.1))], None, None, ["good"], 0.1)

    assert found.good[Verdict.OK] == 1


def test_pixels_are_counted_per_kind_and_what_is_not_known_is_left_out() -> None:
    def marked(value: float) -> tuple[Map, Mask]:
        mask = np.zeros((8, 8), bool)
        mask[2:4, 2:4] = True
        return np.where(mask, np.float32(value), np.float32(1)).astype(np.float32), mask

    clear, faint = marked(5), marked(0.5)
    plain = np.ones((8, 8), np.float32)
    broken = np.full((8, 8), np.nan, np.float32)
    maps = [plain, clear[0], faint[0], plain, broken, plain]
    masks = [None, clear[1], faint[1], None, clear[1], np.zeros((8, 8), bool)]
    kinds = ["good", "dent", "scratch", "stain", "dent", "dent"]

    found = figures([float(one.max()) for one in maps], maps, masks, kinds, 2.0)

    by_kind = {kind.kind: kind.pixels for kind in found.kinds}
    assert by_kind["stain"] is None
    assert by_kind["dent"] is not None
    assert (by_kind["dent"].auroc, by_kind["dent"].regions, by_kind["dent"].images) == (1.0, 1, 2)
    assert by_kind["scratch"] is not None
    assert by_kind["scratch"].auroc == 0.0
    assert found.bad is not None
    assert found.bad.pixels is not None
    assert found.bad.pixels.images == 3
    assert found.bad.pixels.auroc == 0.5


def test_numbers_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="2 scores, 1 kinds"):
        figures([0.1, 0.2], None, None, ["good"], 0.5)
    with pytest.raises(ValueError, match="zip"):
        figures([0.1], [], [None], ["good"], 0.5)


def test_a_model_that_finds_nothing_is_not_praised() -> None:
    # Its labelMaps are all black: by their overlap with masks that are nearly all black too, it would be near perfect.
    maps = [np.zeros((16, 16), np.float32)] * 20
    mask = np.zeros((16, 16), bool)
    mask[3, 3] = True

    found = figures([0.0] * 20, maps, [None] * 19 + [mask], ["good"] * 19 + ["dent"], 0.5)

    assert found.bad is not None
    assert found.bad.auroc is not None
    assert found.bad.auroc.value == 0.5
    assert found.bad.pixels is not None
    assert found.bad.pixels.auroc == 0.5
    assert found.bad.pixels.pro == pytest.approx(0.15)
    assert found.bad.recall.count == 0
