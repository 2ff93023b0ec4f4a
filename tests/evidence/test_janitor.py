"""Evidence within its limits: the oldest goes first, and nothing that is not ours."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from worker.evidence import janitor as module
from worker.evidence.janitor import Janitor
from worker.evidence.layout import stem_of
from worker.evidence.writer import Writer
from worker.settings import EvidenceSettings, LimitSettings
from worker.types import Verdict

from .kept import AT, LINE, age, files, record, texts

DAY_NS = 86_400_000_000_000
BLOCK = 4096
NOBODY = 65_534
FILES_A_RECORD = 4


def janitor(folder: Path, **settings: object) -> Janitor:
    chosen = {"keep_days": 0, "max_bytes": 0, "min_free_bytes": 0} | settings
    return Janitor(EvidenceSettings(**chosen), folder, LINE)


def fill(folder: Path, days: int = 1, each: int = 4, cameras: tuple[str, ...] = ("a", "b")) -> int:
    """So many records a day and camera, alternately, as old as their files' times say; how many it are."""
    folder.mkdir(exist_ok=True)
    writer = Writer(EvidenceSettings(min_free_bytes=0), folder, LINE, LimitSettings())
    for day in range(days):
        for number in range(each):
            for place, camera in enumerate(cameras):
                writer.write(record(10 * number + place, camera=camera, at=AT + day * DAY_NS))
    age(path for path in folder.rglob("*") if path.is_file())
    return days * each * len(cameras)


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A folder of a user who is bound by rights, as which the test goes on: root is by none."""
    folder = Path(tempfile.mkdtemp())
    user = os.geteuid()
    os.chown(folder, user or NOBODY, -1)
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield folder
    finally:
        os.seteuid(user)
        shutil.rmtree(folder)


def size(folder: Path) -> int:
    return sum(-(-path.stat().st_size // BLOCK) * BLOCK for path in folder.rglob("*_*.*"))


def test_without_limits_it_only_counts(tmp_path: Path) -> None:
    count = fill(tmp_path, days=3)
    assert janitor(tmp_path).sweep(AT) == size(tmp_path) == count * FILES_A_RECORD * BLOCK
    assert len(texts(tmp_path)) == count


def test_days_that_are_too_old_go_with_their_folders(tmp_path: Path) -> None:
    fill(tmp_path, days=5)
    one = janitor(tmp_path, keep_days=2)
    one.sweep(AT + 4 * DAY_NS)
    assert {text["committed_at"] // DAY_NS - AT // DAY_NS for text in texts(tmp_path)} == {2, 3, 4}
    one.sweep(AT + 4 * DAY_NS)
    assert sorted(path.name for path in (tmp_path / LINE / "a").iterdir()) == ["2026-11-30", "2026-12-01", "2026-12-02"]
    # And a camera that never came again leaves nothing
    one.sweep(AT + 100 * DAY_NS)
    one.sweep(AT + 100 * DAY_NS)
    assert [path.name for path in (tmp_path / LINE).iterdir()] == [".janitor.lock"]


@pytest.mark.parametrize("at_once", [1, 3, 20_000])
def test_the_oldest_go_first_across_cameras_and_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(module, "_AT_ONCE", at_once)
    count = fill(tmp_path, days=2, each=5)
    all_of_them = sorted(text["committed_at"] for text in texts(tmp_path))
    limit = size(tmp_path) * 6 // 10
    assert janitor(tmp_path, max_bytes=limit).sweep(AT) == size(tmp_path) <= limit
    left = sorted(text["committed_at"] for text in texts(tmp_path))
    assert left == all_of_them[-len(left) :]
    assert count // 2 <= len(left) < count
    # Nothing but whole records is there, save the rest of one that was cut between two looks
    assert len(files(tmp_path)) - FILES_A_RECORD * len(left) < FILES_A_RECORD


def test_a_disk_that_gets_full_has_the_oldest_go(tmp_path: Path) -> None:
    count = fill(tmp_path, days=2)
    disk = os.statvfs(tmp_path)
    free = disk.f_bavail * disk.f_frsize
    one = janitor(tmp_path, min_free_bytes=free + 2**30)
    assert one.is_short
    assert one.sweep(AT) == 0
    assert texts(tmp_path) == []
    assert count
    assert not janitor(tmp_path, min_free_bytes=1).is_short


def test_what_is_just_being_written_is_left_alone(tmp_path: Path) -> None:
    fill(tmp_path)
    writer = Writer(EvidenceSettings(min_free_bytes=0), tmp_path, LINE, LimitSettings())
    writer.write(record(5_000))
    janitor(tmp_path, max_bytes=1).sweep(AT)
    (text,) = texts(tmp_path)
    assert text["seq"] == 5_000


def test_files_of_others_are_never_touched(tmp_path: Path) -> None:
    fill(tmp_path / "top")
    day = tmp_path / "top" / LINE / "a" / "2026-11-28"
    outside = tmp_path / "outside"
    outside.mkdir()
    stem = stem_of(record(900).result, AT)
    # Given files that are not ours, folders and links that look as if they were
    (outside / f"{stem}.jpg").write_bytes(b"mine")
    (outside / "2020-01-01").mkdir()
    (outside / "2020-01-01" / f"{stem}.jpg").write_bytes(b"mine")
    theirs = [day / "notes.txt", day / f"{stem}.jpg.bak", day.parent / "report.pdf", tmp_path / "top" / "x.json"]
    for path in theirs:
        path.write_bytes(b"mine")
    (day / f"{stem}.jpg").symlink_to(outside / f"{stem}.jpg")
    (day / f"{stem}.png").mkdir()
    (day.parent / "2020-01-01").symlink_to(outside / "2020-01-01")
    (day.parent / "archive").mkdir()
    (day.parent / "archive" / f"{stem}.jpg").write_bytes(b"mine")
    (tmp_path / "top" / LINE / "linked").symlink_to(outside)
    (tmp_path / "top" / "other-line" / "a" / "2026-11-28").mkdir(parents=True)
    (tmp_path / "top" / "other-line" / "a" / "2026-11-28" / f"{stem}.jpg").write_bytes(b"another line's")
    age(tmp_path.rglob("*.*"), 10 * 24 * 3600)
    before = set(files(tmp_path))
    ours = {f"top/{name}" for name in files(tmp_path / "top") if name.startswith(LINE) and "_NG_" in name}
    ours -= {name for name in before if stem in name}
    # When everything of ours has to go
    for _ in range(2):
        janitor(tmp_path / "top", keep_days=1, max_bytes=1).sweep(AT + 50 * DAY_NS)
    # Then nothing else has gone
    assert set(files(tmp_path)) == before - ours
    assert (day / f"{stem}.png").is_dir()


def test_what_a_killed_worker_left_half_written_goes_after_a_while(tmp_path: Path) -> None:
    fill(tmp_path)
    day = tmp_path / LINE / "a" / "2026-11-28"
    stem = stem_of(record(900).result, AT)
    old, new = day / f".{stem}.jpg.part", day / f".{stem}.json.part"
    for path in (old, new, day / ".theirs.part"):
        path.write_bytes(b"half")
    age([old, day / ".theirs.part"])
    janitor(tmp_path).sweep(AT)
    assert (old.exists(), new.exists(), (day / ".theirs.part").exists()) == (False, True, True)


def test_what_is_half_written_in_a_day_that_does_not_change_any_more_goes_too(tmp_path: Path) -> None:
    fill(tmp_path, cameras=("a",))
    half = tmp_path / LINE / "a" / "2026-11-28" / f".{stem_of(record(900).result, AT)}.jpg.part"
    half.write_bytes(b"half")
    age([half.parent])
    one = janitor(tmp_path)
    # Given that it was too young when the day was first looked at
    one.sweep(AT)
    assert half.exists()
    # When it is old, and nothing else has changed
    age([half])
    one.sweep(AT)
    assert not half.exists()


def test_files_of_the_future_are_not_young(tmp_path: Path) -> None:
    # Given a clock that was put back after they were written
    fill(tmp_path)
    half = tmp_path / LINE / "a" / "2026-11-28" / f".{stem_of(record(900).result, AT)}.jpg.part"
    half.write_bytes(b"half")
    age((path for path in tmp_path.rglob("*") if path.is_file()), -365 * 24 * 3600)
    assert janitor(tmp_path, max_bytes=1).sweep(AT) == 0
    assert files(tmp_path) == []


def test_a_folder_that_we_may_not_read_keeps_no_other_from_being_swept(unprivileged: Path) -> None:
    count = fill(unprivileged, days=2)
    closed = unprivileged / LINE / "a" / "2026-11-28", unprivileged / LINE / "private"
    closed[1].mkdir()
    (unprivileged / LINE / "b" / "2026-11-28").chmod(0o500)  # may be read, and nothing in it deleted
    for folder in closed:
        folder.chmod(0)
    one = janitor(unprivileged, keep_days=1, max_bytes=1)
    try:
        one.sweep(AT + 50 * DAY_NS)
        assert "Permission denied" in one.trouble
    finally:
        for folder in unprivileged.glob("*/*/*"), unprivileged.glob("*/*"):
            for path in folder:
                path.chmod(0o700)
    left = {path.parent.parent.name + "/" + path.parent.name for path in unprivileged.rglob("*_NG_*")}
    assert left == {"a/2026-11-28", "b/2026-11-28"}
    assert len(texts(unprivileged)) == count // 2
    one.sweep(AT + 50 * DAY_NS)
    assert (one.trouble, texts(unprivileged)) == ("", [])


def test_one_janitor_at_a_time(tmp_path: Path) -> None:
    fill(tmp_path)
    with (tmp_path / LINE / ".janitor.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert janitor(tmp_path, max_bytes=1).sweep(AT) is None
    assert len(texts(tmp_path)) == 8
    assert janitor(tmp_path, max_bytes=1).sweep(AT) == 0


def test_files_may_vanish_while_it_sweeps(tmp_path: Path) -> None:
    fill(tmp_path, days=3, each=100)
    done = threading.Event()

    def delete() -> None:
        for path in sorted(tmp_path.rglob("*_NG_*")):
            path.unlink(missing_ok=True)
        done.set()

    thread = threading.Thread(target=delete)
    thread.start()
    while not done.is_set():
        janitor(tmp_path, max_bytes=100 * BLOCK).sweep(AT)
    thread.join()
    assert janitor(tmp_path).sweep(AT) == 0


def test_a_folder_that_is_away_is_an_error_and_not_made(tmp_path: Path) -> None:
    one = janitor(tmp_path / "away")
    with pytest.raises(FileNotFoundError):
        one.sweep(AT)
    with pytest.raises(FileNotFoundError):
        assert one.is_short
    assert not (tmp_path / "away").exists()


def test_only_days_that_have_changed_are_read_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, days=3)
    for path in (tmp_path / LINE).glob("*/*"):
        age([path])
    one, read = janitor(tmp_path), list[str]()
    total = one.sweep(AT)
    plain = os.scandir

    def noted(at: int) -> object:
        read.append(Path(f"/proc/self/fd/{at}").readlink().name)
        return plain(at)

    monkeypatch.setattr(os, "scandir", noted)
    assert one.sweep(AT) == total
    assert not [name for name in read if name.startswith("20")]
    read.clear()
    writer = Writer(EvidenceSettings(min_free_bytes=0), tmp_path, LINE, LimitSettings())
    writer.write(record(700, Verdict.OK, camera="b", at=AT + DAY_NS))
    assert one.sweep(AT) == (total or 0) + FILES_A_RECORD * BLOCK
    assert [name for name in read if name.startswith("20")] == ["2026-11-29"]
