"""Painted defects are there, where their mask says, the same for the same seed, and stronger where they should be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from worker.capture.generated import GeneratedLine
from worker.settings import load
from worker.training.calibration.recall import touches
from worker.training.data import find_images, read_image
from worker.training.synthetic import KINDS, STRENGTHS, synthetic_defects
from worker.types import Image

FLANGE = GeneratedLine(5, size=128).render(0, "good").image


def grey(level: int, height: int = 96, width: int = 128) -> Image:
    return np.full((height, width, 3), level, np.uint8)


@pytest.mark.parametrize("image", [FLANGE, grey(0), grey(128), grey(255), grey(90, 16, 400), grey(90, 16, 16)])
@pytest.mark.parametrize("strength", [*STRENGTHS, None])
def test_each_kind_changes_the_image_inside_its_mask_alone(image: Image, strength: str | None) -> None:
    before = image.copy()

    for seed in range(5):
        found = list(synthetic_defects(image, np.random.default_rng(seed), strength))

        assert tuple(kind for kind, _, _ in found) == KINDS
        for _, painted, mask in found:
            assert painted.shape == image.shape
            assert painted.dtype == mask.dtype == np.uint8
            assert set(np.unique(mask)) == {0, 255}
            changed = np.abs(painted.astype(int) - image).max(axis=2)
            assert changed[mask > 0].min() >= 2
            assert changed.max() == changed[mask > 0].max()  # what is outside is the soft edge
            assert np.mean(mask > 0) < 0.4
    assert np.array_equal(image, before)


def test_the_same_seed_paints_the_same_and_another_one_elsewhere() -> None:
    one, same, other = (list(synthetic_defects(FLANGE, np.random.default_rng(seed))) for seed in (1, 1, 2))

    assert all(np.array_equal(a, b) for (_, a, _), (_, b, _) in zip(one, same, strict=True))
    assert not any(np.array_equal(a, b) for (_, a, _), (_, b, _) in zip(one, other, strict=True))


def test_stronger_defects_change_more() -> None:
    def change(strength: str, kind: str) -> float:
        images = [GeneratedLine(seed, size=128).render(0, "good").image for seed in range(12)]
        changes = []
        for seed, image in enumerate(images):
            found = {k: (p, m) for k, p, m in synthetic_defects(image, np.random.default_rng(seed), strength)}
            painted, mask = found[kind]
            changes.append(np.abs(painted.astype(float) - image)[mask > 0].mean())
        return float(np.median(changes))

    for kind in KINDS:
        faint, medium, strong = (change(strength, kind) for strength in STRENGTHS)
        assert faint < medium < strong


def test_a_grey_image_stays_grey() -> None:
    for _, painted, _ in synthetic_defects(grey(100), np.random.default_rng(0)):
        assert (painted[..., 0] == painted[..., 1]).all()
        assert (painted[..., 1] == painted[..., 2]).all()


def test_sizes_follow_the_image() -> None:
    for factor in (1, 4):
        image = grey(100, 128 * factor, 128 * factor)
        shares = [np.mean(mask > 0) for _, _, mask in synthetic_defects(image, np.random.default_rng(3), "strong")]
        assert all(0.0005 < share < 0.1 for share in shares)


def test_an_image_that_is_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match="15×40 is too small"):
        list(synthetic_defects(grey(100, 40, 15), np.random.default_rng(0)))


def test_real_photographs_are_painted_on_too(shared_dir: Path) -> None:
    limits = load()[0].limits
    for path in find_images(shared_dir / "data" / "magnetic_tile" / "test" / "good")[:3]:
        image = read_image(path, limits)
        for _, painted, mask in synthetic_defects(image, np.random.default_rng(0), "medium"):
            assert np.abs(painted.astype(int) - image)[mask > 0].mean() > 10


def test_a_label_map_touches_a_defect_however_thin_it_is() -> None:
    mask = np.zeros((500, 500), np.uint8)
    mask[250, 100:400] = 255
    label_map = np.zeros((50, 50), np.uint8)
    assert not touches(label_map, mask)
    label_map[40:45, 20:30] = 255
    assert not touches(label_map, mask)
    label_map[22:28, 20:30] = 255
    assert touches(label_map, mask)
    assert not touches(label_map, np.zeros_like(mask))
