"""`ledger`, `dead` and `watch` on a real line."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from line_settings import settings_for

from worker.inference.postprocess import encode_label_map
from worker.stream.commit import Committer, Dead, Finished
from worker.stream.connection import Client
from worker.stream.consume import FrameConsumer
from worker.stream.dead import DeadLetters
from worker.stream.fields import alert_to_fields, flat_fields, result_to_fields
from worker.stream.keys import LineKeys
from worker.stream.ledger import read_ledger
from worker.stream.publish import FramePublisher
from worker.types import Alert, AlertKind, AlertState, Frame, Region, Result, Severity, Verdict

from .conftest import Run

KEYS = LineKeys("test")
LABEL_MAP = encode_label_map(np.full((4, 6), 255, np.uint8))


class Line:
    """Frames that get a verdict or a dead letter without a model."""

    def __init__(self, url: str, client: Client) -> None:
        self.client = client
        self._publisher = FramePublisher(settings_for(url))
        self._committer = Committer(client, KEYS, settings_for(url).keep)
        self._worker = FrameConsumer(client, KEYS, "w1", 1000)
        self._worker.join()
        self.seq = 0

    def frame(self, camera: str = "c1", data: bytes = b"\xff\xd8image") -> str:
        self.seq += 1
        return self._publisher.publish(Frame(camera, data, seq=self.seq, part_id=f"part-{self.seq}")).id

    def verdict(self, camera: str = "c1", verdict: Verdict = Verdict.OK) -> str:
        frame = self.frame(camera)
        self._worker.read(1)
        regions = (Region(1, 2, 3, 4, 12, 0.5),) if verdict is Verdict.NG else ()
        result = Result(
            frame, camera, verdict, self.seq, published_at=time.time_ns(), score=0.5, threshold=0.25,
            size=(4, 6), image_size=(40, 60), label_map=LABEL_MAP, regions=regions, timings={"infer": 1.5},
        )  # fmt: skip
        assert self._committer.commit([Finished(result)]) == [True]
        return frame

    def dead(self, camera: str = "c1", reason: str = "truncated", data: bytes = b"\xff\xd8image") -> str:
        frame = self.frame(camera, data)
        self._worker.read(1)
        self._committer.commit([Dead(frame, camera, reason, "the jpeg ends early", 1, "w1", time.time_ns())])
        return next(letter.id for letter in DeadLetters(self.client, KEYS).list() if letter.frame == frame)


@pytest.fixture
def line(redis_url: str, client: Client) -> Line:
    return Line(redis_url, client)


def test_the_ledger_as_json_is_the_books(run: Run, line: Line) -> None:
    line.verdict()
    line.verdict("c2", Verdict.NG)
    line.dead()
    line.frame()
    done = run("ledger", "--json")
    assert done.exit_code == 0
    assert json.loads(done.output) == read_ledger(line.client, KEYS).as_dict() | {
        "produced": 4,
        "verdicts": {"OK": 1, "NG": 1, "INVALID": 0, "LATE": 0},
        "dead": 1,
        "backlog": 1,
        "ledger_difference": 0,
    }


def test_the_ledger_for_people_balances(run: Run, line: Line) -> None:
    for _ in range(3):
        line.verdict()
    rows = dict(row.strip().rsplit(maxsplit=1) for row in run("ledger").output.splitlines())
    assert rows == {
        "produced": "3", "OK": "3", "NG": "0", "INVALID": "0", "LATE": "0", "dead": "0", "backlog": "0",
        "in work": "0", "difference": "0",
    }  # fmt: skip


def test_the_cameras_of_the_ledger_add_up_to_the_line(run: Run, line: Line) -> None:
    for camera, verdict in (("c1", Verdict.OK), ("c2", Verdict.NG), ("c2", Verdict.OK)):
        line.verdict(camera, verdict)
    line.dead("c2")
    line.dead("c3", "too_small")
    books = json.loads(run("ledger", "--json").output)
    totals = Counter(
        {f"verdict:{name}": count for name, count in books["verdicts"].items() if count} | {"dead": books["dead"]}
    )
    found = Counter[str]()
    for counts in books["cameras"].values():
        for what, count in counts.items():
            found["dead" if what.startswith("dead:") else what] += count
    assert found == totals
    assert books["cameras"]["c2"] == {"verdict:NG": 1, "verdict:OK": 1, "dead:truncated": 1}


def test_the_ledger_of_an_unused_line_is_all_zero(run: Run) -> None:
    done = run("ledger", "--json")
    assert done.exit_code == 0
    assert json.loads(done.output)["produced"] == 0


def test_a_ledger_that_does_not_balance_fails(run: Run, line: Line) -> None:
    frame = line.frame()
    line.client.execute_command("XDEL", KEYS.frames, frame)
    done = run("ledger", "--json")
    assert done.exit_code == 1
    assert json.loads(done.output)["ledger_difference"] == 1


def test_dead_letters_are_listed_by_camera_and_reason(run: Run, line: Line) -> None:
    first, second = line.dead("c1"), line.dead("c2", "too_small")
    assert [row.split()[0] for row in run("dead", "list").output.splitlines()] == [first, second]
    (row,) = run("dead", "list", "--camera", "c2").output.splitlines()
    assert row.endswith("the jpeg ends early")
    (text,) = run("dead", "list", "--reason", "truncated", "--json").output.splitlines()
    letter = json.loads(text)
    assert (letter["id"], letter["camera"], letter["attempts"]) == (first, "c1", 1)
    assert letter["original"]["data"] == "<7 bytes>"
    assert run("dead", "list", "--camera", "none").output == ""


def test_a_dead_letter_is_shown_whole_and_its_bytes_saved(run: Run, line: Line, tmp_path: Path) -> None:
    letter = line.dead(data=b"\xff\xd8\x00raw")
    shown = json.loads(run("dead", "show", letter, "--save", str(tmp_path / "bad.jpg")).output)
    assert shown["reason"] == "truncated"
    assert shown["original"]["part_id"] == "part-1"
    assert (tmp_path / "bad.jpg").read_bytes() == b"\xff\xd8\x00raw"
    assert json.loads(run("dead", "show", shown["frame"]).output) == shown


def test_a_dead_letter_is_replayed_once(run: Run, line: Line) -> None:
    letter = line.dead()
    done = run("dead", "replay", letter)
    assert done.output.startswith(f"{letter} replayed as frame ")
    assert run("dead", "replay", letter).exit_code == 69
    assert run("dead", "list").output == ""
    books = read_ledger(line.client, KEYS)
    assert (books.backlog, books.produced, books.dead, books.difference) == (1, 2, 1, 0)


def test_all_dead_letters_of_a_reason_are_replayed_or_purged(run: Run, line: Line) -> None:
    kept = line.dead(reason="too_small")
    chosen = [line.dead(), line.dead()]
    done = run("dead", "replay", "--all", "--reason", "truncated")
    assert [row.split()[0] for row in done.output.splitlines()] == chosen
    assert run("dead", "purge", "--all").output == f"{kept} deleted\n"
    assert run("dead", "list").output == ""
    books = read_ledger(line.client, KEYS)
    assert (books.backlog, books.dead, books.difference) == (2, 3, 0)


def test_watch_gives_results_as_json_lines_from_the_beginning(run: Run, line: Line) -> None:
    frames = [line.verdict(), line.verdict("c2", Verdict.NG), line.verdict()]
    done = run("watch", "results", "--from", "0", "--count", "3", "--json")
    assert done.exit_code == 0
    results = [json.loads(row) for row in done.output.splitlines()]
    assert [result["frame"] for result in results] == frames
    assert results[1]["verdict"] == "NG"
    assert results[1]["regions"] == [{"x": 1, "y": 2, "w": 3, "h": 4, "area": 12, "score": 0.5}]
    assert results[1]["size"] == [4, 6]
    assert "label_map" not in results[0]


def test_watch_gives_the_labelmap_where_asked(run: Run, line: Line) -> None:
    line.verdict()
    done = run("watch", "results", "--from", "0", "--count", "1", "--json", "--label-map")
    assert base64.b64decode(json.loads(done.output)["label_map"]) == LABEL_MAP


def test_watch_shows_one_camera_and_the_last_few(run: Run, line: Line) -> None:
    frames = [line.verdict(camera) for camera in ("c1", "c2", "c1", "c2")]
    one = run("watch", "results", "--from", "0", "--count", "2", "--json", "--camera", "c2")
    assert [json.loads(row)["frame"] for row in one.output.splitlines()] == [frames[1], frames[3]]
    last = run("watch", "results", "--last", "2", "--count", "2", "--json")
    assert [json.loads(row)["frame"] for row in last.output.splitlines()] == frames[2:]


def test_watch_is_readable_for_people(run: Run, line: Line) -> None:
    line.verdict("c1", Verdict.NG)
    (row,) = run("watch", "results", "--from", "0", "--count", "1", "--text").output.splitlines()
    assert row.split()[1:] == ["c1", "1", "NG", "0.5", "/", "0.25", "1", "region(s)"]


@pytest.mark.parametrize("published_at", ["253402300800000000000", "-99999999999999999999", "1" + "0" * 40])
def test_watch_shows_a_time_that_no_calendar_has_as_it_is(run: Run, line: Line, published_at: str) -> None:
    fields = flat_fields(result_to_fields(Result("1-0", "c1", Verdict.OK)) | {"published_at": published_at})
    line.client.execute_command("XADD", KEYS.results, "*", *fields)
    done = run("watch", "results", "--from", "0", "--count", "1", "--text")
    assert done.exit_code == 0
    assert done.output.split()[:2] == [published_at, "c1"]


def test_what_others_wrote_does_not_steer_a_terminal(run: Run, line: Line) -> None:
    result = Result("1-0", "c1", Verdict.INVALID, reason="\x1b]0;title\x07\x1b[31mred\nnew line")
    line.client.execute_command("XADD", KEYS.results, "*", *flat_fields(result_to_fields(result)))
    line.client.execute_command("XADD", KEYS.dead, "*", "camera", "c\x1b[2J", "reason", "invalid", "error", "\r\x9b31m")
    (watched,) = run("watch", "results", "--from", "0", "--count", "1", "--text").output.splitlines()
    (listed,) = run("dead", "list").output.splitlines()
    assert watched.endswith("]0;title  [31mred new line")
    assert (watched + listed).isprintable()


@pytest.mark.parametrize("after", ["abc", "-1", "1-", "1-2-3", "18446744073709551616", "$", "", "１"])
def test_watch_refuses_what_is_no_entry_id(run: Run, after: str) -> None:
    done = run("watch", "results", "--from", after, "--count", "1")
    assert done.exit_code == 2
    assert "is no entry id" in done.output


@pytest.mark.parametrize("after", ["0", "0-0", "1700000000000", "1700000000000-4"])
def test_watch_begins_after_an_entry_id(run: Run, line: Line, after: str) -> None:
    frame = line.verdict()
    done = run("watch", "results", "--from", after, "--count", "1", "--json")
    assert json.loads(done.output)["frame"] == frame


def test_watch_shows_alerts(run: Run, line: Line) -> None:
    alert = Alert(
        "c1:anomaly:1", "c1", AlertKind.ANOMALY, AlertState.RAISED, Severity.CRITICAL, 1, 1, message="3 of 5 bad"
    )
    line.client.execute_command("XADD", KEYS.alerts, "*", *flat_fields(alert_to_fields(alert)))
    text = run("watch", "alerts", "--from", "0", "--count", "1", "--text").output
    assert text.split()[1:] == ["raised", "critical", "anomaly", "c1", "3", "of", "5", "bad"]
    assert json.loads(run("watch", "alerts", "--from", "0", "--count", "1", "--json").output)["state"] == "raised"


def test_watch_follows_what_comes_and_ends_when_told(redis_url: str, line: Line) -> None:
    line.verdict()  # before: not shown
    environment = os.environ | {"LINE_REDIS__URL": redis_url, "LINE_LINE": "test"}
    watcher = subprocess.Popen(
        [sys.executable, "-m", "worker", "watch", "results"], env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        deadline = time.monotonic() + 20
        while b"cmd=xread" not in line.client.execute_command("CLIENT", "LIST"):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        frame = line.verdict()
        assert watcher.stdout is not None
        assert json.loads(watcher.stdout.readline())["frame"] == frame
        watcher.terminate()
        assert watcher.wait(10) == 0
    finally:
        watcher.kill()
        watcher.wait()
        if watcher.stdout:
            watcher.stdout.close()
