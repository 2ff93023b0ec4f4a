"""Names of workers: stable over restarts, and never two alive of one name."""

from __future__ import annotations

import fcntl
import os
import socket
from pathlib import Path

import pytest

from worker.devices import parse_devices
from worker.errors import SettingsError
from worker.runtime.names import claim_pool, home

HOST = socket.gethostname()


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))


def test_names_are_host_device_and_slot_and_the_same_the_next_time() -> None:
    devices = parse_devices("cpu:0,cpu:1")
    for _ in range(2):
        with claim_pool("test", devices) as pool:
            assert pool.names == [f"{HOST}:cpu:0:0", f"{HOST}:cpu:1:1"]


def test_a_second_supervisor_of_the_line_gets_other_names_and_one_of_another_line_does_not() -> None:
    devices = parse_devices("cpu")
    with claim_pool("test", devices) as first, claim_pool("test", devices) as second:
        assert first.names == [f"{HOST}:cpu:0"]
        assert second.names == [f"{HOST}:cpu:1"]
        with claim_pool("other", devices) as third:
            assert third.names == first.names
        assert len({first.folder, second.folder, third.folder}) == 3


def test_the_folder_is_empty_at_first_and_gone_at_the_end_also_where_one_was_left() -> None:
    devices = parse_devices("cpu")
    with claim_pool("test", devices) as pool:
        left = pool.folder
    left.mkdir()
    (left / "old").touch()
    with claim_pool("test", devices) as pool:
        assert pool.folder == left
        assert list(pool.folder.iterdir()) == []
    assert not left.exists()


@pytest.mark.parametrize(
    ("user", "folder"),
    [(0, "/dev/shm/line-worker-0"), (999, "/dev/shm/line-worker-999"), (1000, "/tmp/line-worker-1000")],
)
def test_pools_are_in_memory_unless_that_is_cleared_at_logout(
    user: int, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TMPDIR")
    monkeypatch.setattr(os, "getuid", lambda: user)
    monkeypatch.setattr(os, "access", lambda *_: True)
    assert str(home()) == folder
    monkeypatch.setenv("TMPDIR", "/var/tmp")
    assert str(home()) == f"/var/tmp/line-worker-{user}"


def test_the_folder_is_locked_so_that_it_is_not_cleared_away_for_its_age() -> None:
    with claim_pool("test", parse_devices("cpu")) as pool:
        folder = os.open(pool.folder, os.O_RDONLY | os.O_DIRECTORY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(folder)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "none"))
    with pytest.raises(SettingsError, match="No such file or directory"), claim_pool("test", parse_devices("cpu")):
        pass
