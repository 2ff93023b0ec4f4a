"""The builtin teacher's school: pictures that follow from seeds, right answers, and a network that learns."""

from pathlib import Path

import numpy as np
import pytest

from worker.training.pretraining.defects import KINDS
from worker.training.pretraining.programs import program
from worker.training.pretraining.scenes import IGNORED, SIDE, draw_pool, draw_scenes

torch = pytest.importorskip("torch", reason="an extra: pip install 'line-worker[torch]'")

from worker.training.pretraining.fit import Course, Lesson, pretrain  # noqa: E402
from worker.training.pretraining.places import place_loss  # noqa: E402
from worker.training.pretraining.tasks import EDGES, answers_of  # noqa: E402
from worker.training.pretraining.views import two_views  # noqa: E402
from worker.training.weights import draw, fold  # noqa: E402


@pytest.mark.parametrize("seed", range(40))
def test_a_program_draws_what_is_alike_and_not_the_same(seed: int) -> None:
    draw_texture = program(seed)

    one, again, other = (draw_texture(np.random.default_rng(number), 96) for number in (1, 1, 2))

    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    assert one.shape == (96, 96)
    assert 0 <= one.min() < one.max() <= 1
    assert one.std() > 0.01


def test_scenes_follow_from_the_seed_and_say_what_is_where() -> None:
    pool = draw_pool(6, 2, seed=0)

    scenes, again = (draw_scenes(np.random.default_rng(3), pool, 40) for _ in range(2))

    assert np.array_equal(scenes.images, again.images)
    assert set(np.unique(scenes.programs)) <= {IGNORED, *range(6)}
    assert set(np.unique(scenes.defects)) == set(range(len(KINDS)))
    assert (scenes.programs[scenes.defects > 0] == IGNORED).all()
    plain = (scenes.programs == IGNORED) & (scenes.defects == 0)
    assert 0 < plain.mean() < 0.3  # parts of an even shade belong to no program
    assert sum(image.std() > 0 for image in scenes.clean) > 30


def test_the_answers_tell_a_place_by_its_middle_and_the_direction_of_its_edges() -> None:
    programs = np.zeros((1, SIDE, SIDE), np.int16)
    programs[:, :, SIDE // 2 :] = 5
    defects = np.zeros((1, SIDE, SIDE), np.uint8)
    defects[0, 1, 90] = 3
    stripes = np.tile((np.arange(SIDE) % 5 < 2).astype(np.float32), (1, SIDE, 1))  # upright, of the filters' period

    first, second, third = answers_of(*(torch.from_numpy(each) for each in (programs, defects, stripes)))

    assert [len(stage.programs) for stage in (first, second, third)] == [24 * 24, 12 * 12, 6 * 6]
    assert first.programs.reshape(24, 24)[:, :12].unique().tolist() == [0]
    assert first.programs.reshape(24, 24)[:, 12:].unique().tolist() == [5]
    assert first.defects.reshape(24, 24).nonzero().tolist() == [[0, 22]]
    assert first.edges.shape == (24 * 24, EDGES)
    assert first.edges.mean(0).argmax() == 0  # the finest scale, across


def test_two_views_differ_in_light_and_not_in_what_is_there() -> None:
    images = draw_scenes(np.random.default_rng(3), draw_pool(6, 2, seed=0), 16).images

    views = two_views(np.random.default_rng(1), images)

    assert views.shape == (32, 3, SIDE, SIDE)
    first, second = views[:16].mean(1).flatten(1), views[16:].mean(1).flatten(1)
    assert (first.mean(1) - second.mean(1)).abs().mean() > 0.1
    structured = first.std(1) > 0.5
    likeness = [float(torch.corrcoef(torch.stack(pair))[0, 1]) for pair in zip(first, second, strict=True)]
    assert np.median(np.array(likeness)[structured]) > 0.8


def test_a_place_must_be_found_again_but_not_told_from_its_like() -> None:
    generator = torch.Generator().manual_seed(0)
    crops, random = torch.randn(4, 32, 6, 6, generator=generator), np.random.default_rng(0)
    others = torch.randn(4, 32, 6, 6, generator=generator)
    places = 4 * 6 * 6
    each_its_own, none_painted = torch.arange(places), torch.zeros(places, dtype=torch.long)

    found = place_loss(random, torch.cat([crops, crops]), each_its_own, none_painted)
    lost = place_loss(random, torch.cat([crops, others]), each_its_own, none_painted)
    all_of_one_texture = place_loss(random, torch.cat([crops, others]), torch.zeros_like(each_its_own), none_painted)

    assert found < 0.5
    assert lost > 4
    assert all_of_one_texture == pytest.approx(0, abs=1e-6)


class Stopped(Exception):
    pass


@pytest.mark.long
def test_the_network_learns_and_goes_on_where_it_was_broken_off(tmp_path: Path) -> None:
    course = Course(
        (Lesson(3, 2e-3, (0, 1, 0.5, 4)), Lesson(3, 1e-3, (1, 0.2, 0.3, 0.5))),
        batch_size=8,
        programs=4,
        pictures=2,
        chunk=16,
        save_every=2,
    )

    def stop(step: int, _losses: list[float]) -> None:
        if step == 3:
            raise Stopped

    whole = pretrain(course, folder(tmp_path / "whole"), lambda *_: None)
    with pytest.raises(Stopped):
        pretrain(course, folder(tmp_path / "broken"), stop)
    again = pretrain(course, tmp_path / "broken", lambda *_: None)

    assert all(np.array_equal(value, again[name]) for name, value in whole.items())
    assert not np.array_equal(whole["conv1.weight"], fold(draw(0))["conv1.weight"])


def folder(path: Path) -> Path:
    path.mkdir()
    return path
