"""Writing evidence: whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from worker.evidence.writer import Writer
from worker.settings import EvidenceSettings, LimitSettings

from .kept import LINE, files, record, texts


def writer(folder: Path, **settings: object) -> Writer:
    return Writer(EvidenceSettings(**{"min_free_bytes": 0} | settings), folder, LINE, LimitSettings())


def test_a_record_lies_where_it_can_be_browsed(tmp_path: Path) -> None:
    writer(tmp_path).write(record())
    stem = "test/c1/2026-11-28/141445.703_NG_1795875285703-0"
    assert files(tmp_path) == [f"{stem}.{ending}" for ending in ("jpg", "json", "label_map.png", "overlay.jpg")]
    (text,) = texts(tmp_path)
    assert text["frame"] == "1795875285703-0"
    assert (tmp_path / f"{stem}.json").stat().st_mode & 0o007 == 0


def test_a_cameras_name_leads_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "top").mkdir()
    for number, camera in enumerate(("..", ".", "...", ".hidden")):
        writer(tmp_path / "top").write(record(number, camera=camera))
    assert {text["camera"] for text in texts(tmp_path / "top" / "test")} == {"..", ".", "...", ".hidden"}
    assert files(tmp_path) == [f"top/{name}" for name in files(tmp_path / "top")]


def test_a_link_in_a_cameras_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "top" / "test").mkdir(parents=True)
    (tmp_path / "top" / "test" / "c1").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError):
        writer(tmp_path / "top").write(record())
    assert files(tmp_path / "elsewhere") == []


def test_what_cannot_be_written_to_its_end_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a name that stands in the way of one of the files
    day = tmp_path / "test" / "c1" / "2026-11-28"
    blocked = day / "141445.703_NG_1795875285703-0.label_map.png"
    blocked.mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        writer(tmp_path).write(record())
    assert [path.name for path in day.iterdir()] == [blocked.name]


def test_a_folder_that_is_away_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        writer(tmp_path / "away").write(record())
    with pytest.raises(FileNotFoundError):
        writer(tmp_path / "away").check(1)
    assert files(tmp_path) == []


def test_folders_that_are_cleared_away_are_made_again(tmp_path: Path) -> None:
    one = writer(tmp_path)
    one.write(record(1))
    for path in sorted(tmp_path.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    one.write(record(2))
    assert len(texts(tmp_path)) == 1


def test_the_last_of_a_disk_is_left_alone(tmp_path: Path) -> None:
    disk = os.statvfs(tmp_path)
    free = disk.f_bavail * disk.f_frsize
    for call in (lambda one: one.write(record()), lambda one: one.check(1)):
        with pytest.raises(OSError, match="min_free_bytes") as caught:
            call(writer(tmp_path, min_free_bytes=4 * free))
        assert caught.value.errno == errno.ENOSPC
    assert files(tmp_path) == []
    # Between half of it and the whole it is the janitor's to make room
    writer(tmp_path, min_free_bytes=int(1.4 * free)).write(record())
    with pytest.raises(OSError, match="75%"):
        writer(tmp_path, min_free_bytes=int(1.4 * free)).check(1, again=True)


def test_a_check_leaves_nothing(tmp_path: Path) -> None:
    writer(tmp_path).check(200_000)
    assert files(tmp_path) == []
