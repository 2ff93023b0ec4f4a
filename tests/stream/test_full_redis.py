"""A Redis that has reached `maxmemory`: publishers wait, workers empty it, alerts are told, nothing is lost."""

from __future__ import annotations

import os
from typing import Any

import pytest

from worker.errors import StreamUnavailable
from worker.stream.alarm_states import Saved
from worker.stream.alerting import AlertStore
from worker.stream.frozen import FrozenCameras, Shown
from worker.stream.outbox import Outbox
from worker.stream.outbox_letters import OutboxLetters
from worker.types import Alert, AlertKind, AlertState, Severity

from .line_of_frames import Line

FRAME = 200_000


def fill(line: Line, limits: Any) -> int:
    """Publish until Redis is full; how many frames it took."""
    used = line.do("INFO", "memory").decode().split("used_memory:")[1].split("\r")[0]
    limits(line, "maxmemory", str(int(used) + 20 * FRAME))
    for count in range(1_000):
        try:
            line.publish(data=os.urandom(FRAME))
        except StreamUnavailable:
            return count
    raise AssertionError("it never was full")


def test_a_worker_that_is_started_when_redis_is_full_empties_it(line: Line, limits: Any) -> None:
    count = fill(line, limits)
    # The least memory that it has: nothing may be added, whatever a worker reads takes yet a little
    limits(line, "maxmemory", "1")
    line.do("SCRIPT", "FLUSH")
    # When a new worker comes, with scripts to load, and a group and a consumer to make
    worker = line.consumer("w1", idle_ms=0)
    worker.show_up()
    first = worker.read(2)
    worker.renew([one.id for one in first])
    assert worker.has_idle()
    assert worker.recover_idle() is not None
    shown = [Shown(one.id, "c1", "ab") for one in first]
    assert FrozenCameras(line.client, line.keys, 2).frozen(shown) == [False, True]
    # Then results, dead letters, replies and counts are written all the same
    assert line.finish(first[0].id, reply_to="t1") == [True]
    assert line.bury(first[1].id) == [True]
    while deliveries := worker.read(5, block_ms=1):
        assert all(line.finish(*[one.id for one in deliveries]))
    books = line.books()
    assert (books.produced, books.verdicts["OK"], books.dead, books.backlog) == (count, count - 1, 1, 0)
    worker.leave()
    # And with room again the frame that waited is taken
    line.do("CONFIG", "SET", "maxmemory", "0")
    assert line.publish().status == "accepted"


def test_a_queue_that_a_worker_empties_makes_room_for_those_who_wait(line: Line, limits: Any) -> None:
    count = fill(line, limits)
    worker = line.consumer("w1")
    line.finish(*[one.id for one in worker.read(count // 2)])
    assert line.publish(data=os.urandom(FRAME)).status == "accepted"
    assert line.books().produced == count + 1


@pytest.mark.parametrize("late", [False, True])
def test_alerts_are_told_also_when_redis_is_full(line: Line, limits: Any, late: bool) -> None:
    frame = line.publish().id
    line.consumer("w1").read(1)
    line.finish(frame)
    store = AlertStore(line.client, line.keys, line.settings.keep, ["log"], most_waiting=1)
    outbox = Outbox(line.client, line.keys, "log", line.settings.keep, "me")
    if not late:  # it runs already
        assert outbox.take()
        store.pending()
    limits(line, "maxmemory", "1")
    if late:
        assert outbox.take()
        store.pending()
    (result,) = store.read()
    alert = Alert("a1", "c1", AlertKind.ANOMALY, AlertState.RAISED, Severity.WARNING, opened_at=1, at=1)
    assert store.look().waiting == 0
    assert store.commit("c1", Saved(0, "{}"), [result.id], [alert, alert, alert]) is not None
    # And what is on its way is noted, comes to an end, or is a dead letter
    (entry,) = outbox.read("0-0")
    (told,) = outbox.seal(entry.event, [entry.id])
    assert isinstance(told, Alert)
    assert outbox.failed(entry.event, "503") >= 0
    outbox.bury(entry.event, [entry.id], "refused", "422")
    letters = OutboxLetters(line.client, line.keys)
    assert [letter.reason for letter in letters.letters("log")] == ["overflow", "overflow", "refused"]
    assert letters.look(["log"])[0].waiting == 0


def test_ids_ahead_of_the_clock_are_brought_back_also_when_redis_is_full(line: Line, limits: Any) -> None:
    worker = line.consumer("w1")
    line.do("XADD", line.keys.frames, "32503680000000-0", "camera", "c1", "data", "x")
    limits(line, "maxmemory", "1")
    (delivery,) = worker.read(1)
    worker.show_up()
    assert line.do("EXISTS", line.keys.hold) == 1
    line.finish(delivery.id)
    worker.show_up()
    line.do("CONFIG", "SET", "maxmemory", "0")
    assert not line.publish().id.startswith("3250")
