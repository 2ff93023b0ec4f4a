"""The teacher that ships is small and whole."""

from pathlib import Path

from worker.training.teachers import BUILTIN, BUILTIN_FILE, open_teacher
from worker.training.weights import shapes


def test_it_is_small_and_whole(tmp_path: Path) -> None:
    teacher = open_teacher(BUILTIN, tmp_path)

    assert BUILTIN_FILE.stat().st_size < 6_000_000
    assert len(teacher.sha256) == 64
    assert teacher.weights is not None
    assert {name for name in teacher.weights if name.endswith(".weight")} == set(shapes())
