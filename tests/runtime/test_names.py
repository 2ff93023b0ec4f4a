"""Names of workers: stable over restarts, and never two alive of one name."""

from __future__ import annotations

import socket

import pytest

from worker.devices import parse_devices
from worker.runtime.names import worker_names

HOST = socket.gethostname()


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def test_names_are_host_device_and_slot_and_the_same_the_next_time() -> None:
    devices = parse_devices("cpu:0,cpu:1")
    for _ in range(2):
        with worker_names("test", devices) as names:
            assert names == [f"{HOST}:cpu:0:0", f"{HOST}:cpu:1:1"]


def test_a_second_supervisor_of_the_line_gets_other_names_and_one_of_another_line_does_not() -> None:
    devices = parse_devices("cpu")
    with worker_names("test", devices) as first, worker_names("test", devices) as second:
        assert first == [f"{HOST}:cpu:0"]
        assert second == [f"{HOST}:cpu:1"]
        with worker_names("other", devices) as third:
            assert third == first
