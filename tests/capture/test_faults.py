"""Generated cameras with a fault: good for a while, then spoilt as the watchful worker tells it."""

import numpy as np
import pytest

from worker.capture.faults import BEGINS, CYCLE, is_faulty, picture_with_fault
from worker.capture.generated import GeneratedLine
from worker.capture.open import open_source
from worker.capture.url import FAULTS, TestUrl, parse_source, show_source
from worker.demo import MODEL
from worker.errors import SourceError
from worker.inference.bundle import load_bundle
from worker.inference.health import ImageChecks
from worker.settings import WatchSettings

NUMBERS = (0, BEGINS - 1, BEGINS, BEGINS + 7, CYCLE - 1, CYCLE)


@pytest.mark.parametrize("fault", ["dark", "blown_out", "blurred"])
def test_a_faulty_stretch_is_told_and_the_parts_around_it_are_not(fault: str) -> None:
    checks = ImageChecks(WatchSettings(), load_bundle(MODEL).image_statistics)
    line = GeneratedLine(3)

    told = [checks.problem(picture_with_fault(line, number, fault)).partition(":")[0] for number in NUMBERS]

    assert told == [fault if is_faulty(number) else "" for number in NUMBERS]


def test_a_frozen_camera_shows_one_picture_for_all_its_stretch() -> None:
    line = GeneratedLine(3)
    shown = [picture_with_fault(line, number, "frozen") for number in NUMBERS]

    assert all(np.array_equal(one, shown[2]) for one in shown[2:5])
    assert not np.array_equal(shown[1], shown[2])
    assert not np.array_equal(shown[5], shown[2])
    assert np.array_equal(shown[5], line.part(CYCLE).image)


def test_the_source_names_its_fault() -> None:
    source = parse_source("test://?seed=3&fault=dark")

    assert source == TestUrl(seed=3, fault="dark")
    assert show_source(source) == "test://?seed=3&size=256&count=0&fault=dark"
    assert {parse_source(f"test://?fault={fault}").fault for fault in FAULTS} == set(FAULTS)  # type: ignore[union-attr]
    with pytest.raises(SourceError, match="fault must be one of dark"):
        parse_source("test://?fault=stolen")
    with pytest.raises(SourceError, match="allowed are seed, size, count, cycle, fault"):
        parse_source("test://?faults=dark")


def test_the_source_gives_the_spoilt_pictures() -> None:
    pictures = list(open_source(f"test://?seed=3&size=64&count={BEGINS + 1}&fault=dark"))

    assert [picture.image is not None and picture.image.max() > 60 for picture in pictures] == [True] * BEGINS + [False]
