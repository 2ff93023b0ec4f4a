"""The thread that keeps evidence: it makes nobody wait, and goes on by itself after trouble."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from line_settings import settings_for
from prometheus_client import CollectorRegistry

from worker.evidence import recorder as module
from worker.evidence.recorder import Recorder
from worker.metrics import EvidenceMetrics
from worker.types import Verdict

from .kept import Record, record, texts


class Kept:
    """A recorder with a registry of its own."""

    def __init__(self, folder: Path, *, is_loaded: Callable[[], bool] = bool, **evidence: object) -> None:
        flags = {f"evidence__{name}": value for name, value in ({"min_free_bytes": 0} | evidence).items()}
        self.registry = CollectorRegistry()
        settings = settings_for("redis://127.0.0.1:1/0", **flags)
        self.recorder = Recorder(settings, folder, EvidenceMetrics("w1", self.registry), is_loaded)

    def keep(self, *records: Record) -> None:
        for one in records:
            self.recorder.keep(one.frame, one.result)

    def count(self, name: str, **labels: str) -> float:
        found = self.registry.get_sample_value(f"line_evidence_{name}_total", {"worker": "w1", **labels})
        assert found is not None
        return found

    def finish(self, seconds: float = 60) -> None:
        self.recorder.finish(time.monotonic() + seconds, lambda: None)


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_what_is_chosen_is_written_and_counted(tmp_path: Path) -> None:
    one = Kept(tmp_path)
    one.recorder.start()
    one.keep(*[record(number, verdict) for number, verdict in enumerate(Verdict)])
    one.finish()
    assert sorted(text["verdict"] for text in texts(tmp_path)) == ["INVALID", "LATE", "NG"]
    assert [one.count("written", verdict=verdict) for verdict in Verdict] == [0, 1, 1, 1]
    assert one.recorder.problem == ""


def test_a_full_queue_drops_and_counts_and_waits_for_nothing(tmp_path: Path) -> None:
    one = Kept(tmp_path, queue_frames=2)
    one.keep(*[record(number) for number in range(5)])  # nobody writes yet
    assert one.count("dropped", reason="queue_full") == 3
    one.recorder.start()
    one.finish()
    assert [text["seq"] for text in texts(tmp_path)] == [0, 1]


def test_what_the_time_to_drain_does_not_suffice_for_is_counted(tmp_path: Path) -> None:
    one = Kept(tmp_path)
    one.keep(*[record(number) for number in range(5)])
    one.finish(0)
    assert one.count("dropped", reason="stopped") == 5
    assert texts(tmp_path) == []


def test_a_folder_that_vanishes_stops_it_until_it_is_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_S", 0.05)
    top = tmp_path / "top"
    top.mkdir()
    one = Kept(top)
    one.recorder.start()
    one.keep(record(1))
    wait_until(lambda: one.count("written", verdict="NG"))
    shutil.rmtree(top)
    one.keep(record(2))
    wait_until(lambda: one.recorder.problem)
    assert "No such file or directory" in one.recorder.problem
    assert str(top) in one.recorder.problem
    one.keep(record(3))
    wait_until(lambda: one.count("dropped", reason="unwritable") == 2)
    assert not top.exists()
    top.mkdir()
    wait_until(lambda: not one.recorder.problem)
    one.keep(record(4))
    one.finish()
    assert [text["seq"] for text in texts(top)] == [4]


def test_a_folder_that_is_not_there_is_known_before_a_frame_needs_it(tmp_path: Path) -> None:
    one = Kept(tmp_path / "away")
    one.recorder.start()
    wait_until(lambda: one.recorder.problem)
    one.finish()


def test_a_frame_that_cannot_be_made_evidence_of_harms_no_other(tmp_path: Path) -> None:
    one = Kept(tmp_path)
    bad = record(1, timings={"infer": object()})
    one.recorder.start()
    one.keep(bad, record(2))
    one.finish()
    assert one.count("dropped", reason="failed") == 1
    assert [text["seq"] for text in texts(tmp_path)] == [2]


def test_under_load_it_rests_between_two_records_but_not_when_it_has_to_finish(tmp_path: Path) -> None:
    asked: list[bool] = []

    def is_loaded() -> bool:
        asked.append(True)
        return True

    one = Kept(tmp_path, is_loaded=is_loaded)
    one.recorder.start()
    one.keep(*[record(number) for number in range(40)])
    wait_until(lambda: one.count("written", verdict="NG"))
    one.finish()
    assert asked
    assert len(texts(tmp_path)) == one.count("written", verdict="NG") == 40


def test_a_write_that_does_not_come_to_its_end_is_trouble_and_makes_nobody_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_STUCK_S", 0.2)
    # Given a disk that does not answer: opening a pipe that nobody reads blocks like one
    (tmp_path / "test").mkdir()
    pipe = tmp_path / "test" / ".check.part"
    os.mkfifo(pipe)
    one = Kept(tmp_path, queue_frames=2)
    one.recorder.start()
    wait_until(lambda: one.recorder.problem)
    assert "has not come to its end" in one.recorder.problem
    # Then what comes is taken or dropped at once, and the end is not waited for
    one.keep(*[record(number) for number in range(5)])
    assert one.count("dropped", reason="queue_full") == 3
    one.finish(0.1)
    assert one.count("dropped", reason="stopped") == 2
    os.close(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK))  # lets the thread go
