"""What a training was asked for, and who may go on with it."""

from pathlib import Path

import numpy as np
import pytest

from worker.errors import SettingsError, SourceError
from worker.training.fitting.recipe import Recipe
from worker.training.plan import Plan, Run
from worker.training.weights import draw, fold

TEACHER = fold(draw(0))


def plan(**changes: object) -> Plan:
    wanted = Plan(
        recipe=Recipe(),
        teacher="random",
        teacher_sha256="",
        fitter="paddle fp32",
        learned={"a.png": "0"},
        validation={},
        held_out={"b.png": "1"},
        alike=0,
        data_digest="0",
        false_reject_rate=0.01,
        confidence=0.95,
    )
    return wanted.model_copy(update=changes)


def test_the_same_plan_goes_on_and_another_does_not(tmp_path: Path) -> None:
    run = Run.beside(tmp_path / "model")
    run.folder.mkdir()

    assert not run.begin(plan(), TEACHER)
    assert not run.begin(plan(), TEACHER)  # nothing was fitted yet
    run.checkpoint.touch()
    assert run.begin(plan(), TEACHER)
    with pytest.raises(SettingsError, match=r"model\.training holds a training with other recipe, fitter"):
        run.begin(plan(fitter="torch bf16", recipe=Recipe(seed=1)), TEACHER)
    assert not run.begin(plan(fitter="torch bf16"), TEACHER, restart=True)
    assert not run.checkpoint.exists()


def test_a_run_knows_its_plan_and_its_teacher(tmp_path: Path) -> None:
    run = Run(tmp_path / "r")
    with pytest.raises(SourceError, match="no training in this folder"):
        run.plan()

    run.folder.mkdir()
    run.begin(plan(), TEACHER)

    assert run.plan() == plan()
    assert all(np.array_equal(value, TEACHER[name]) for name, value in run.teacher().items())


def test_a_plan_that_cannot_be_understood_is_said(tmp_path: Path) -> None:
    run = Run(tmp_path)
    (tmp_path / "plan.json").write_text("{}")

    with pytest.raises(SettingsError, match="--restart begins anew"):
        run.begin(plan(), TEACHER)


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "r").write_text("a file")

    with pytest.raises(SettingsError, match="cannot be written to"), Run(tmp_path / "r").locked():
        pass


def test_one_training_at_a_time(tmp_path: Path) -> None:
    run = Run(tmp_path / "r")

    with run.locked(), pytest.raises(SettingsError, match="another training is at work"), run.locked():
        pass
    with run.locked():
        pass
