"""The model that ships finds the defects of cameras that it has never seen."""

from worker.capture.defects import KINDS
from worker.capture.generated import GOOD
from worker.demo.make_model import (
    CALIBRATE_EACH,
    CALIBRATE_SEEDS,
    CHECK_SEEDS,
    LEARN_EACH,
    LEARN_SEEDS,
    MODEL,
    check,
)
from worker.inference.bundle import Manifest, load_bundle


def test_it_was_calibrated_on_enough_parts_to_promise_its_rate() -> None:
    manifest = Manifest.model_validate_json((MODEL / "bundle.json").read_bytes())

    assert manifest.score_statistics["promised"] == 1.0
    assert manifest.false_reject_target == 0.01


def test_it_was_checked_on_other_cameras_than_it_learned_from() -> None:
    assert not set(LEARN_SEEDS) & set(CALIBRATE_SEEDS)
    assert not set(CHECK_SEEDS) & {*LEARN_SEEDS, *CALIBRATE_SEEDS}


def test_it_knows_what_good_pictures_are_like_and_leaves_their_shape_open() -> None:
    good = load_bundle(MODEL).image_statistics

    assert good is not None
    assert good.images == len(LEARN_SEEDS) * LEARN_EACH + len(CALIBRATE_SEEDS) * CALIBRATE_EACH
    assert (good.width, good.height) == (None, None)


def test_it_tells_bad_parts_from_good_ones() -> None:
    shares = check(MODEL, seeds=range(5000, 5006), each=8)  # 48 good parts, 6 of each defect

    assert shares[GOOD] <= 0.05
    assert all(shares[kind] >= 0.8 for kind in KINDS)
    assert sum(shares[kind] for kind in KINDS) / len(KINDS) >= 0.95
