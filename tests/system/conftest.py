"""Models for the running system."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

SIZE = 64
"""Height and width of the small model's input: a frame takes it a sixteenth of the work of 256."""


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PaddleX export of an STFPM with random weights for 64×64 inputs: quick, and no judge of anything."""
    from worker.training.export import export
    from worker.training.network import Stfpm, folded_backbone, fresh_student
    from worker.training.weights import draw, fold

    folder = tmp_path_factory.mktemp("small_model")
    export(Stfpm(folded_backbone(fold(draw(0))), fresh_student(draw(1))), folder, (SIZE, SIZE))
    return folder


@pytest.fixture
def prometheus_program() -> str:
    """The program."""
    found = shutil.which("prometheus")
    if found is None:
        pytest.skip("no prometheus on the PATH (apt install prometheus)")
    return found
