"""The image checks: what is right passes, also mildly disturbed; what no one should trust does not; nothing crashes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.lib.stride_tricks import sliding_window_view

from worker.capture.generated import GOOD, GeneratedLine
from worker.demo import MODEL
from worker.inference.bundle import load_bundle
from worker.inference.health import ImageChecks, ImageStatistics, Survey, measure, picture_digest
from worker.settings import WatchSettings
from worker.types import Image

Change = Callable[[Image], Image]
CHANCE = np.random.default_rng(3)


def gain(factor: float) -> Change:
    return lambda image: np.clip(image * float(factor), 0, 255).astype(np.uint8)


def defocus(sigma: float, noise: float = 0.0) -> Change:
    """Blurred by `sigma` pixels; the sensor's noise, grey levels, comes behind the lens."""
    return lambda image: noisy(noise)(cv2.GaussianBlur(image, (0, 0), sigma))


def noisy(deviation: float) -> Change:
    return lambda image: np.clip(
        image + CHANCE.normal(0, deviation, (*image.shape[:2], 1)) if deviation else image, 0, 255
    ).astype(np.uint8)


def scaled(factor: float) -> Change:
    return lambda image: cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)


def compressed(quality: int) -> Change:
    return lambda image: cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 1)


def shaded(image: Image) -> Image:
    fall = np.linspace(0.5, 1.2, image.shape[1])[None, :, None]
    return np.clip(image * fall, 0, 255).astype(np.uint8)


MILD: dict[str, Change] = {
    "as it is": lambda image: image,
    "darker": gain(0.6),
    "brighter": gain(1.3),
    "light falls off to one side": shaded,
    "noisier": noisy(3),
    "a little soft": defocus(1),
    "compressed": compressed(50),
    "smaller": scaled(0.5),
    "larger": scaled(2),
}
BAD: dict[str, tuple[str, Change]] = {
    "lens cap": ("dark", gain(0.05)),
    "lens cap and noise": ("dark", lambda image: noisy(2)(gain(0.02)(image))),
    "overexposed": ("blown_out", gain(6)),
    "defocused": ("blurred", defocus(6)),
    "defocused and noisy": ("blurred", defocus(8, noise=2)),
}


@pytest.fixture(scope="module")
def tiles(shared_dir: Path) -> tuple[ImageChecks, list[Image]]:
    """Checks made of the good photographs of `train/`, and all 180 of `test/`, good and defective."""
    folder = shared_dir / "data" / "magnetic_tile"
    survey = Survey()
    assert len(list(survey.passing(read(folder / "train")))) == 200
    statistics = survey.statistics()
    assert (statistics.images, statistics.width, statistics.height) == (200, None, None)
    return ImageChecks(WatchSettings(), statistics), list(read(folder / "test"))


def read(folder: Path) -> Iterator[Image]:
    return (cv2.imread(str(path))[..., ::-1] for path in sorted(folder.rglob("*.png")))


def words(checks: ImageChecks, images: list[Image], change: Change) -> list[str]:
    return [checks.problem(np.ascontiguousarray(change(image))).partition(":")[0] for image in images]


@pytest.mark.parametrize("name", MILD)
def test_no_photograph_is_invalid_good_defective_or_mildly_disturbed(
    name: str, tiles: tuple[ImageChecks, list[Image]]
) -> None:
    assert not any(words(*tiles, MILD[name]))


@pytest.mark.parametrize("name", BAD)
def test_a_spoilt_photograph_is_invalid_with_its_reason(name: str, tiles: tuple[ImageChecks, list[Image]]) -> None:
    reason, change = BAD[name]
    found = words(*tiles, change)
    assert found.count(reason) >= 0.99 * len(found)


@pytest.fixture(scope="module")
def parts() -> list[Image]:
    """Good and bad parts of cameras that the demo's model has not seen."""
    return [GeneratedLine(seed).part(seq).image for seed in range(5) for seq in range(0, 48, 4)]


@pytest.fixture(scope="module")
def demo_checks() -> ImageChecks:
    return ImageChecks(WatchSettings(), load_bundle(MODEL).image_statistics)


@pytest.mark.parametrize("name", MILD)
def test_no_part_of_the_demo_is_invalid(name: str, demo_checks: ImageChecks, parts: list[Image]) -> None:
    assert not any(words(demo_checks, parts, MILD[name]))


@pytest.mark.parametrize("name", BAD)
def test_a_spoilt_part_of_the_demo_is_invalid(name: str, demo_checks: ImageChecks, parts: list[Image]) -> None:
    reason, change = BAD[name]
    assert set(words(demo_checks, parts, change)) == {reason}


def test_the_demos_model_takes_pictures_of_any_shape(demo_checks: ImageChecks) -> None:
    wide = GeneratedLine(1, size=256).render(0, GOOD).image[:120]
    assert demo_checks.problem(np.ascontiguousarray(wide)) == ""


def test_without_figures_only_what_no_sensible_picture_is_counts(parts: list[Image]) -> None:
    bare = ImageChecks(WatchSettings())
    for change in (*MILD.values(), gain(0.2), gain(3), defocus(10)):
        assert not any(words(bare, parts, change))
    assert set(words(bare, parts, gain(0.05))) == {"dark"}
    assert set(words(bare, parts, lambda image: np.maximum(image, 251))) == {"blown_out"}


@pytest.mark.parametrize("noise", [0.5, 2.0])
def test_good_photographs_that_are_nearly_black_or_white_are_not_invalid_by_it(noise: float) -> None:
    """Dark field: a clean surface shows a few glints. Bright field: a small part before a lamp."""
    chance = np.random.default_rng(5)

    def photograph(background: float, part: float, seed: int) -> Image:
        scene = np.full((200, 300, 3), background)
        scene[90 + seed : 97 + seed, 140:155] = part  # 0.2 % of the picture
        return np.clip(chance.normal(scene, noise), 0, 255).astype(np.uint8)

    for background, part, spoilt, word in ((8, 200, 0, "dark"), (255, 20, 255, "blown_out")):
        survey = Survey()
        photographs = [photograph(background, part, seed) for seed in range(30)]
        assert len(list(survey.passing(photographs))) == 30
        checks = ImageChecks(WatchSettings(blurred=0), survey.statistics())
        assert not any(map(checks.problem, photographs))
        assert checks.problem(np.full((200, 300, 3), spoilt, np.uint8)).startswith(word)


def test_each_reason_has_its_figures(parts: list[Image]) -> None:
    limits = ImageChecks(WatchSettings(dark=0.5, blown_out=0.2, blurred=0.3, size="256x256"))
    assert limits.problem(parts[0]) == ""
    assert limits.problem(gain(0.5)(parts[0])).startswith("dark: brightness 0.3")
    assert limits.problem(gain(6)(parts[0])).startswith("blown_out: 6")
    assert limits.problem(gain(6)(parts[0])).endswith("% of the pixels are white, at most 20.0% wanted")
    assert limits.problem(defocus(6)(parts[0])).startswith("blurred: sharpness 0.1")
    assert limits.problem(scaled(0.5)(parts[0])) == "wrong_size: 128×128, wanted 256×256"


def test_what_is_off_is_not_looked_at() -> None:
    off = ImageChecks(
        WatchSettings(dark=0, blown_out=0, blurred=0, size="off"),
        ImageStatistics(brightness=0.9, blown_out=0.0, sharpness=9.0, width=40, height=30),
    )
    for shade in (0, 128, 255):
        assert off.problem(np.full((20, 90, 3), shade, np.uint8)) == ""


@pytest.mark.parametrize(
    ("width", "height", "fits"),
    [(640, 480, True), (1280, 960, True), (161, 120, True), (480, 640, False), (640, 500, False)],
)
def test_the_shape_of_the_good_photographs_counts_and_their_scale_does_not(width: int, height: int, fits: bool) -> None:
    statistics = ImageStatistics(width=640, height=480)
    problem = ImageChecks(WatchSettings(dark=0, blown_out=0), statistics).problem(
        np.zeros((height, width, 3), np.uint8)
    )
    assert problem == ("" if fits else f"wrong_size: {width}×{height}, wanted the good photographs' shape, 640×480")


def test_a_survey_keeps_the_size_that_all_have() -> None:
    images = [np.full((30, 40, 3), shade, np.uint8) for shade in (10, 200)]
    survey = Survey()
    assert [image.shape for image in survey.passing(images)] == [(30, 40, 3)] * 2
    assert (survey.statistics().width, survey.statistics().height) == (40, 30)
    assert survey.statistics(with_size=False).width is None
    assert list(survey.passing([np.zeros((40, 30, 3), np.uint8)]))
    assert survey.statistics().width is None
    assert Survey().statistics() == ImageStatistics()


def pictures() -> st.SearchStrategy[Image]:
    """Of any shape, extreme ones too; flat, or with any pixels."""
    sides = st.one_of(st.integers(1, 12), st.sampled_from([8, 255, 256, 257, 4000]))
    shapes = st.tuples(sides, sides).filter(lambda shape: shape[0] * shape[1] <= 70_000)
    flat = st.tuples(shapes, st.integers(0, 255)).map(lambda pair: np.full((*pair[0], 3), pair[1], np.uint8))
    small = st.tuples(st.integers(1, 12), st.integers(1, 12), st.just(3))
    return flat | small.flatmap(lambda shape: arrays(np.uint8, shape))


@settings(max_examples=150, deadline=None)
@given(pictures())
def test_any_picture_has_figures_and_a_verdict(image: Image) -> None:
    figures = measure(image)
    assert 0 <= figures.brightness <= 1
    assert 0 <= figures.blown_out <= 1
    assert np.isfinite(figures.sharpness)
    strict = ImageStatistics(brightness=0.9, blown_out=0.0, sharpness=0.5, width=4, height=3)
    word = ImageChecks(WatchSettings(), strict).problem(image).partition(":")[0]
    assert word in ("", "wrong_size", "dark", "blown_out", "blurred")
    assert picture_digest(image) == picture_digest(image.copy())


def plain_sample(image: Image) -> Image:
    height, width = image.shape[:2]
    sample = cv2.resize(image, (min(width, 256), min(height, 256)), interpolation=cv2.INTER_NEAREST)
    return np.asarray(cv2.cvtColor(sample, cv2.COLOR_RGB2GRAY), np.uint8)


def plain_figures(image: Image) -> tuple[float, float, float]:
    """As they are told, and as the figures in bundles were made."""
    grey = plain_sample(image)
    brightness = np.sort(grey, axis=None)[-1 - grey.size // 200] / 255
    padded = np.pad(grey, [(0, max(0, 3 - side)) for side in grey.shape], mode="edge").astype(np.float64)
    height, width = (side // 3 for side in padded.shape)
    squares = padded[: 3 * height, : 3 * width].reshape(height, 3, width, 3)
    fine = squares.mean(axis=(1, 3))

    def around(side: int) -> npt.NDArray[np.float64]:
        bordered = np.pad(fine, side // 2, mode="symmetric")
        return np.asarray(sliding_window_view(bordered, (side, side)).mean(axis=(2, 3)))

    detail = ((fine - around(3)) ** 2).mean()
    everything = ((fine - around(9)) ** 2).mean() + ((squares - fine[:, None, :, None]) ** 2).mean()
    return brightness, float((grey >= 250).mean()), float(np.sqrt(detail) / (np.sqrt(everything) + 1))


def assert_plain(image: Image) -> None:
    figures = measure(image)
    brightness, blown_out, sharpness = plain_figures(image)
    assert (figures.brightness, figures.blown_out) == (pytest.approx(brightness), pytest.approx(blown_out))
    assert figures.sharpness == pytest.approx(sharpness, abs=1e-4)  # single precision


@settings(max_examples=150, deadline=None)
@given(pictures())
def test_the_figures_are_those_that_bundles_keep(image: Image) -> None:
    assert_plain(image)


@pytest.mark.parametrize("shape", [(256, 256), (700, 1021), (1, 3000), (3000, 1), (17, 300), (257, 2)])
@pytest.mark.parametrize("kind", ["noise", "blurred", "extremes"])
def test_the_figures_of_large_pictures_are_too(shape: tuple[int, int], kind: str) -> None:
    noise = np.random.default_rng(7).integers(0, 256, (*shape, 3), dtype=np.uint8)
    image = {"noise": noise, "blurred": cv2.GaussianBlur(noise, (0, 0), 5), "extremes": (noise // 128) * 255}[kind]
    assert_plain(image)


def test_the_figures_of_the_demos_parts_are_too(parts: list[Image]) -> None:
    for image in parts:
        assert_plain(image)
        assert_plain(image[::2, ::-1])


@settings(max_examples=100, deadline=None)
@given(pictures(), st.floats(0.001, 1), st.floats(0.001, 1), st.floats(0.001, 1))
def test_a_verdict_is_that_of_the_figures(image: Image, dark: float, blown_out: float, blurred: float) -> None:
    figures = measure(image)
    spoilt = {
        "dark": figures.brightness < dark,
        "blown_out": figures.blown_out > blown_out,
        "blurred": figures.sharpness < blurred,
    }
    checks = ImageChecks(WatchSettings(dark=dark, blown_out=blown_out, blurred=blurred))
    assert checks.problem(image).partition(":")[0] == next((word for word in spoilt if spoilt[word]), "")


def test_a_picture_at_a_limit_is_good_and_beyond_it_is_not() -> None:
    image = np.full((100, 200, 3), 40, np.uint8)
    image.reshape(-1, 3)[:101] = 251  # 0.505 %
    at = measure(image)
    assert (at.brightness, at.blown_out) == (251 / 255, 101 / 20_000)
    for setting, beyond in (("dark", 1e-9), ("blown_out", -1e-9), ("blurred", 1e-9)):
        limit = {"dark": at.brightness, "blown_out": at.blown_out, "blurred": at.sharpness}[setting]
        only = {"dark": 0.0, "blown_out": 0.0, "blurred": 0.0, "size": "off"}
        assert ImageChecks(WatchSettings(**{**only, setting: limit})).problem(image) == ""
        assert ImageChecks(WatchSettings(**{**only, setting: limit + beyond})).problem(image).startswith(setting)
    image.reshape(-1, 3)[100] = 40  # 0.5 % may be brighter
    assert measure(image).brightness == 40 / 255


@pytest.mark.parametrize("level", [0, 1, 128, 249, 255])
@pytest.mark.parametrize("shape", [(1, 1), (2, 5), (64, 64), (300, 280)])
def test_a_flat_picture_has_no_detail(level: int, shape: tuple[int, int]) -> None:
    assert measure(np.full((*shape, 3), level, np.uint8)).sharpness == 0


def every_pixel_sharpness(image: Image) -> float:
    """With squares around every pixel, of which every third is looked at."""
    grey = plain_sample(image)
    fine, coarse, slow = (cv2.boxFilter(grey, cv2.CV_32F, (side, side)) for side in (3, 9, 27))
    return float((fine - coarse).std(dtype=np.float64) / ((grey - slow).std(dtype=np.float64) + 1))


@pytest.mark.parametrize("sigma", [0, 1, 2, 3, 4, 6, 8])
def test_the_sharpness_is_nearly_that_of_squares_around_every_pixel(sigma: int, parts: list[Image]) -> None:
    for image in parts:
        seen = defocus(sigma)(image) if sigma else image
        assert measure(seen).sharpness == pytest.approx(every_pixel_sharpness(seen), rel=0.15)


@pytest.mark.parametrize("size", [256, 1024])
def test_the_sharpness_falls_with_defocus_whatever_the_resolution(size: int) -> None:
    image = GeneratedLine(2, size=size).render(0, GOOD).image
    found = [measure(defocus(sigma * size / 256)(image)).sharpness for sigma in range(1, 9)]
    assert all(after < before for before, after in pairwise(found))
    assert found[1] < 0.72 * measure(image).sharpness
    assert found[5] < 0.35 * measure(image).sharpness


@pytest.mark.parametrize(
    ("change", "within"),
    [(noisy(3), 0.02), (noisy(6), 0.04), (gain(0.6), 0.04), (gain(0.3), 0.09), (shaded, 0.06), (compressed(50), 0.02)],
    ids=["noise", "more noise", "darker", "far less contrast", "light falls off", "compressed"],
)
def test_the_sharpness_hardly_changes_by_what_is_no_blur(change: Change, within: float, parts: list[Image]) -> None:
    before, after = (np.array([measure(one).sharpness for one in seen]) for seen in (parts, map(change, parts)))
    assert np.median(np.abs(after / before - 1)) < within


def test_the_sharpness_hardly_changes_where_the_part_lies_against_the_squares(parts: list[Image]) -> None:
    for image in parts:
        found = [measure(np.roll(image, (down, right), (0, 1))).sharpness for down in range(3) for right in range(3)]
        assert max(found) < 1.15 * min(found)


@settings(max_examples=50, deadline=None)
@given(pictures(), st.data())
def test_a_single_other_pixel_is_another_picture(image: Image, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, image.size - 1))
    other = image.copy()
    other.reshape(-1)[place] ^= data.draw(st.integers(1, 255))
    assert picture_digest(other) != picture_digest(image)


def test_a_picture_that_only_moved_is_another_picture() -> None:
    image = np.zeros((1024, 1024, 3), np.uint8)
    image[100:300, 200:500] = 180
    digests = {picture_digest(np.roll(image, (down, right), (0, 1))) for down in (0, 8, 64) for right in (0, 8, 64)}
    assert len(digests) == 9


def test_a_small_thing_that_moved_by_any_number_of_rows_makes_another_picture() -> None:
    """Between the pixels that are hashed as they are: the sums must show it."""
    image = np.zeros((1024, 1024, 3), np.uint8)
    image[101:104, 200:203] = 180
    digests = {picture_digest(np.roll(image, down, 0)) for down in range(0, 900, 4)}
    assert len(digests) == 225


def test_an_image_that_is_a_view_of_another_is_digested_like_its_copy() -> None:
    image = GeneratedLine(1).part(0).image[::2, ::-1]
    assert picture_digest(image) == picture_digest(np.ascontiguousarray(image))
