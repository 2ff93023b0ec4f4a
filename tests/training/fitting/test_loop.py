"""A student learns, the same way each time, whatever it is broken off by."""

from pathlib import Path

import numpy as np
import pytest

from worker.capture.generated import GeneratedLine
from worker.devices import Device
from worker.errors import SourceError, TrainingFailed
from worker.training.data import Samples
from worker.training.fitting.checkpoint import load
from worker.training.fitting.fitter import Fitter, open_fitter
from worker.training.fitting.loop import Fitted, fit
from worker.training.fitting.recipe import Recipe
from worker.training.make import transforms_of
from worker.training.weights import Weights, draw, fold

SIDE = 64
RECIPE = Recipe(epochs=4, batch_size=4, learning_rate=0.1, size=(SIDE, SIDE), seed=3)


def samples(count: int, start: int = 0) -> Samples:
    line = GeneratedLine(seed=1, size=SIDE)
    return Samples((line.render(start + seq, "good").image for seq in range(count)), transforms_of((SIDE, SIDE)))


def fitter(name: str, recipe: Recipe = RECIPE) -> Fitter:
    if name == "torch":
        pytest.importorskip("torch", reason="an extra: pip install 'line-worker[torch]'")
    return open_fitter(name, fold(draw(5)), recipe, Device("cpu"))


def run(name: str, recipe: Recipe = RECIPE, checkpoint: Path | None = None) -> Fitted:
    return fit(fitter(name, recipe), samples(10), samples(3, 50), recipe, checkpoint=checkpoint, save_every_s=0)


def same(one: Weights, other: Weights) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize("name", ["paddle", "torch"])
def test_a_fit_lowers_both_losses_and_is_the_same_each_time(name: str) -> None:
    first = run(name)

    assert [epoch.number for epoch in first.history] == [1, 2, 3, 4]
    assert first.history[-1].loss < first.history[0].loss
    assert first.history[-1].validation is not None
    assert first.history[-1].validation < first.history[0].validation  # type: ignore[operator]
    assert same(run(name).student, first.student)


class _Stopped(Exception):
    pass


@pytest.mark.parametrize(("name", "stop_at"), [("paddle", 1), ("paddle", 3), ("paddle", 12), ("torch", 5)])
def test_broken_off_after_any_step_it_comes_to_the_same_student(tmp_path: Path, name: str, stop_at: int) -> None:
    file = tmp_path / "checkpoint.npz"

    def stop(step: int, _steps: int, _loss: float) -> None:
        if step == stop_at:
            raise _Stopped

    with pytest.raises(_Stopped):
        fit(fitter(name), samples(10), samples(3, 50), RECIPE, checkpoint=file, save_every_s=0, progress=stop)
    going_on = run(name, checkpoint=file)

    whole = run(name)
    assert same(going_on.student, whole.student)
    assert [(epoch.loss, epoch.validation) for epoch in going_on.history] == [
        (epoch.loss, epoch.validation) for epoch in whole.history
    ]


def test_a_finished_fit_is_not_begun_again(tmp_path: Path) -> None:
    first = run("paddle", checkpoint=tmp_path / "c.npz")
    steps: list[int] = []

    again = fit(
        fitter("paddle"),
        samples(10),
        samples(3, 50),
        RECIPE,
        checkpoint=tmp_path / "c.npz",
        progress=lambda step, _steps, _loss: steps.append(step),
    )

    assert steps == []
    assert same(again.student, first.student)


@pytest.mark.long
def test_the_patience_takes_the_student_of_the_lowest_validation_loss(tmp_path: Path) -> None:
    wild = RECIPE.model_copy(update={"epochs": 30, "patience": 2, "learning_rate": 3.0})
    done = run("paddle", wild, tmp_path / "c.npz")

    losses = [epoch.validation or 0 for epoch in done.history]
    assert len(losses) < 30
    assert done.best_epoch == losses.index(min(losses)) + 1 == len(losses) - 2
    upto = run("paddle", wild.model_copy(update={"epochs": done.best_epoch, "patience": 0}))
    assert same(done.student, upto.student)


def test_a_loss_that_is_no_number_ends_the_fit() -> None:
    diverging = fitter("paddle")
    weights = diverging.student()
    weights["bn1.weight"][:] = np.nan
    diverging.load(diverging.state() | weights)

    with pytest.raises(TrainingFailed, match="lower learning rate"):
        fit(diverging, samples(10), samples(0), RECIPE)


def test_a_damaged_checkpoint_is_said(tmp_path: Path) -> None:
    (tmp_path / "c.npz").write_bytes(b"PK\x03\x04 damaged")

    with pytest.raises(SourceError, match="--restart begins anew"):
        load(tmp_path / "c.npz")


def test_a_full_disk_costs_the_checkpoint_and_not_the_fit(tmp_path: Path) -> None:
    (tmp_path / "c.npz.part").mkdir()  # nothing can be written to it

    assert len(run("paddle", checkpoint=tmp_path / "c.npz").history) == RECIPE.epochs
