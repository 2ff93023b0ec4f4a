"""Names of evidence: safe whatever a frame's fields hold, and told from anybody else's."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.evidence.layout import day_of, folder_name, is_camera, is_day, is_part, opened, parts_of, stem_of
from worker.settings.listed import NAME

from .kept import AT, record


@given(st.from_regex(NAME, fullmatch=True).map(str.strip))
def test_a_cameras_folder_is_one_of_its_own_below_its_line(camera: str) -> None:
    name = folder_name(camera)
    assert (Path("/top") / name).resolve().parent == Path("/top")
    assert not name.startswith(".")
    assert is_camera(name)


def test_names_that_differ_stay_different() -> None:
    names = [".", "..", "._", "_.", ".a", "a", "2E", "%2E"[1:], "_..", "-", "A"]
    assert len({folder_name(name) for name in names}) == len(set(names))


def test_a_record_is_called_by_its_time_verdict_and_frame() -> None:
    one = record()
    assert day_of(AT) == "2026-11-28"
    assert stem_of(one.result, AT) == "141445.703_NG_1795875285703-0"


@pytest.mark.parametrize("ending", ["json", "jpg", "png", "webp", "bmp", "raw", "overlay.jpg", "label_map.png"])
def test_our_files_are_known_by_their_names(ending: str) -> None:
    stem = stem_of(record().result, AT)
    assert parts_of(f"{stem}.{ending}") == (stem, ending)
    assert is_part(f".{stem}.{ending}.part")


@pytest.mark.parametrize(
    "name",
    [
        "notes.txt",
        "part.jpg",
        "141445.703_NG_1795875285703-0",
        "141445.703_NG_1795875285703-0.txt",
        "141445.703_NG_1795875285703-0.jpg.bak",
        "141445.703_MINE_1795875285703-0.jpg",
        "x141445.703_NG_1795875285703-0.jpg",
        "141445.703_NG_1795875285703-0.jpg\n",
        ".141445.703_NG_1795875285703-0.jpg.part",
    ],
)
def test_files_of_others_are_not_taken_for_ours(name: str) -> None:
    assert parts_of(name) is None


def test_folders_of_others_are_not_taken_for_days() -> None:
    assert is_day("2026-11-28")
    assert [name for name in ("2026-11", "archive", "2026-11-28 kept", "..", "") if is_day(name)] == []


def test_only_the_uppermost_folder_may_be_a_link_and_it_is_never_made(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "top").symlink_to("disk")
    with opened(tmp_path / "top", "line", "camera", make=True):
        assert (tmp_path / "disk" / "line" / "camera").is_dir()
    (tmp_path / "disk" / "line" / "linked").symlink_to("/")
    with pytest.raises(NotADirectoryError), opened(tmp_path / "top", "line", "linked", make=True):
        pass
    with pytest.raises(FileNotFoundError), opened(tmp_path / "away", "line", make=True):
        pass
    assert not (tmp_path / "away").exists()
