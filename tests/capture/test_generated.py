"""The generated line: the same for ever, mostly good, bad in a way that raises and clears alerts."""

import numpy as np
import pytest

from worker.capture.defects import KINDS
from worker.capture.generated import GOOD, GeneratedLine, Schedule

SEEDS = range(12)


def test_the_same_seed_and_number_give_the_same_picture() -> None:
    first, second = GeneratedLine(4).part(9), GeneratedLine(4).part(9)

    assert np.array_equal(first.image, second.image)
    assert np.array_equal(first.mask, second.mask)


def test_other_seeds_and_numbers_give_other_pictures() -> None:
    picture = GeneratedLine(4).part(0).image

    assert not np.array_equal(picture, GeneratedLine(4).part(1).image)
    assert not np.array_equal(picture, GeneratedLine(5).part(0).image)


@pytest.mark.parametrize("size", [64, 256, 640])
def test_pictures_have_the_size_asked_for(size: int) -> None:
    part = GeneratedLine(0, size).part(0)

    assert part.image.shape == (size, size, 3)
    assert part.image.dtype == part.mask.dtype == np.uint8
    assert part.mask.shape == (size, size)


@pytest.mark.parametrize("kind", KINDS)
def test_a_defect_changes_the_picture_where_the_mask_is(kind: str) -> None:
    for seed in SEEDS:
        line = GeneratedLine(seed)
        part = line.render(7, kind)
        assert part.defective
        assert part.kind == kind
        assert 40 < np.count_nonzero(part.mask) < 0.05 * part.mask.size
        other = line.render(7, GOOD).image.astype(int)  # another defect draws other noise: compare by region
        inside = np.abs(part.image.astype(int) - other).max(axis=2)[part.mask > 0].mean()
        assert inside > 15


def test_a_good_part_has_an_empty_mask() -> None:
    part = GeneratedLine(0).render(0, GOOD)

    assert not part.defective
    assert not part.mask.any()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_schedule_has_runs_single_defects_and_mostly_good_parts(seed: int) -> None:
    bad = [GeneratedLine(seed).kind(seq) != GOOD for seq in range(240)]

    runs = [len(run) for run in "".join("x" if one else " " for one in bad).split()]

    assert 0.08 <= np.mean(bad) <= 0.15
    assert sum(4 <= length <= 6 for length in runs) == 5
    assert sum(length == 1 for length in runs) == 5


@pytest.mark.parametrize("seed", SEEDS)
def test_an_alert_rule_raises_and_clears_several_times(seed: int) -> None:
    # Given the rule "3 bad of the last 5 raise, 5 good in a row clear"
    line = GeneratedLine(seed)
    bad = [line.kind(seq) != GOOD for seq in range(240)]

    raised = cleared = 0
    is_open = False
    for seq in range(4, 240):
        window = bad[seq - 4 : seq + 1]
        if not is_open and sum(window) >= 3:
            is_open, raised = True, raised + 1
        elif is_open and not any(window):
            is_open, cleared = False, cleared + 1

    # I expect one alert a run
    assert raised == cleared == 5


def test_a_schedule_without_defects_has_none() -> None:
    line = GeneratedLine(0, schedule=Schedule(run=(0, 0), singles=0))

    assert all(line.kind(seq) == GOOD for seq in range(200))


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match="size"):
        GeneratedLine(0, size=8)
    with pytest.raises(ValueError, match="run"):
        Schedule(run=(5, 40))
