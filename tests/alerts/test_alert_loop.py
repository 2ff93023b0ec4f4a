"""The alert loop against a real Redis, its death at every possible place included."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator

import line
import pytest
from alert_loops import Clock, Killed, MortalStore, QuickStore, SetClockStore, loop_of, settings_at, store_of
from alert_results import INVALID, LATE, NG, OK
from prometheus_client import CollectorRegistry

from worker.errors import StreamError, StreamUnavailable
from worker.metrics import AlertMetrics
from worker.runtime.alert_loop import AlertLoop
from worker.runtime.alerting import run_alerts
from worker.settings import Settings
from worker.stream.alarm_states import Saved
from worker.stream.connection import Client, connect
from worker.stream.embedded import EmbeddedRedis
from worker.stream.keys import GROUP_INSPECT
from worker.types import AlertKind, AlertState, Verdict

RAISED, UPDATED, CLEARED = AlertState.RAISED, AlertState.UPDATED, AlertState.CLEARED


@pytest.fixture
def settings(redis_url: str) -> Settings:
    return settings_at(redis_url, reorder_ms=300)


@pytest.fixture
def client(redis_url: str) -> Iterator[Client]:
    client = connect(settings_at(redis_url))
    yield client
    client.close()


def shift(seed: int, length: int = 120) -> list[tuple[int, Verdict]]:
    """(seq, verdict) in the order in which a few workers finish them."""
    chance = random.Random(seed)
    verdicts = [chance.choice([NG, NG, OK, INVALID] if seq // 10 % 2 else [OK] * 9 + [LATE]) for seq in range(length)]
    order = sorted(range(length), key=lambda seq: seq + chance.uniform(0, 4))
    return [(seq, verdicts[seq]) for seq in order]


def settle(loop: AlertLoop, clock: Clock, client: Client) -> None:
    for _ in range(200):
        loop.step()
        if line.unsettled(client) == 0:
            return
        clock.now += 0.05
    raise AssertionError("results stay unsettled")


def test_two_workers_that_finish_out_of_order_make_no_difference(client: Client, settings: Settings) -> None:
    clock = Clock()
    loop = loop_of(store_of(client, settings), settings, clock)
    line.publish(client, shift(seed=1))
    settle(loop, clock, client)
    told = line.said(line.alerts(client))
    assert told == line.expected(client, settings.alerts)
    assert len({alert_id for alert_id, *_ in told}) > 3


def test_what_is_open_is_on_the_metrics_and_what_is_not_is_zero(client: Client, settings: Settings) -> None:
    clock, registry = Clock(), CollectorRegistry()
    loop = AlertLoop(store_of(client, settings), settings, AlertMetrics(registry), clock=clock)
    loop.begin()

    def opened(kind: str, camera: str = "c1") -> float | None:
        clock.now += 2  # it looks at the line once in a while
        loop.step()
        return registry.get_sample_value("line_alerts_open", {"camera": camera, "kind": kind})

    line.publish(client, [(seq, NG) for seq in range(3)])
    settle(loop, clock, client)
    assert (opened("anomaly"), opened("invalid"), opened("backlog", "")) == (1, 0, 0)
    line.publish(client, [(seq, OK) for seq in range(3, 8)])
    settle(loop, clock, client)
    assert opened("anomaly") == 0


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_dying_around_any_commit_loses_and_repeats_nothing(
    client: Client, settings: Settings, seed: int, after: bool
) -> None:
    clock, chance, deaths = Clock(), random.Random(seed), 0
    work = shift(seed)
    pages = [work[start : start + 7] for start in range(0, len(work), 7)]

    def reborn() -> AlertLoop:
        lives = chance.randint(1, 3)
        store = MortalStore(client, line.KEYS, settings.keep, lives=lives, after=after)
        return loop_of(store, settings, clock)

    loop = reborn()
    while pages or line.unsettled(client):
        if pages:
            line.publish(client, pages.pop(0))
        try:
            loop.step()
            clock.now += 0.1
        except Killed:
            deaths += 1
            loop = reborn()
    assert deaths >= 3
    assert line.said(line.alerts(client)) == line.expected(client, settings.alerts)


def test_what_waits_for_its_turn_survives_a_death(client: Client, settings: Settings) -> None:
    clock = Clock()
    loop = loop_of(store_of(client, settings), settings, clock)
    line.publish(client, [(0, NG), (1, NG)])
    loop.step()
    clock.now = 1
    loop.step()
    line.publish(client, [(4, OK), (3, NG)])
    loop.step()  # holds both and dies
    loop = loop_of(store_of(client, settings), settings, clock)
    line.publish(client, [(2, NG)])
    settle(loop, clock, client)
    assert line.said(line.alerts(client)) == line.expected(client, settings.alerts)


def test_two_processes_by_accident_do_not_double_alerts(client: Client, redis_url: str) -> None:
    settings = settings_at(redis_url, anomaly__window=1, anomaly__raise_at=1, anomaly__clear_after=1_000, reorder_ms=50)
    stop = threading.Event()
    clients = [connect(settings) for _ in range(2)]
    threads = []
    for each in clients:
        loop = AlertLoop(store_of(each, settings), settings, AlertMetrics(CollectorRegistry()))
        threads.append(threading.Thread(target=loop.run, args=(stop,)))
        threads[-1].start()
    for start in range(0, 300, 3):
        line.publish(client, [(seq, NG) for seq in (start + 1, start, start + 2)])
    line.wait_until(lambda: line.unsettled(client) == 0)
    stop.set()
    for thread in threads:
        thread.join()
    for each in clients:
        each.close()
    told = line.alerts(client)
    assert [event.state for event in told].count(RAISED) == 1
    counts = [event.count for event in told]
    # Each of the 300 was counted, and once.
    assert counts == sorted(set(counts))
    assert counts[-1] == 300


class CountingStore(QuickStore):
    """Counts how often everything is read anew."""

    reloads = 0

    def load(self) -> dict[str, Saved]:
        self.reloads += 1
        return super().load()


def test_what_a_second_process_read_and_left_is_taken_over(
    client: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.runtime.alert_loop.LEFT_AFTER_MS", 200)
    clock = Clock()
    loop = loop_of(store_of(client, settings), settings, clock)
    loop.step()
    # Given three results that another process read before it died, and one more that comes to us
    line.publish(client, [(0, NG), (1, NG), (2, NG)])
    assert len(store_of(client, settings).read()) == 3
    line.publish(client, [(3, OK)])
    loop.step()
    clock.now += 2
    loop.step()
    assert line.alerts(client) == []
    time.sleep(0.6)
    # I expect the next looks to find them and to raise, once
    for _ in range(4):
        clock.now += 2
        loop.step()
    assert [(event.state, event.count) for event in line.alerts(client)] == [(RAISED, 3)]
    assert line.unsettled(client) == 0


def test_two_processes_that_live_let_each_other_finish(client: Client, settings: Settings) -> None:
    clock = Clock()
    stores = [CountingStore(client, line.KEYS, settings.keep) for _ in range(2)]
    loops = [loop_of(store, settings, clock) for store in stores]
    for number in range(20):
        # Given that one holds a camera's results while the other looks
        line.publish(client, [(number * 2, NG), (number * 2 + 1, NG)], camera=f"c{number}")
        for loop in (loops[0], loops[1], loops[1], loops[0]):
            loop.step()
            clock.now += 0.15
    assert [store.reloads for store in stores] == [1, 1]
    settle(loops[0], clock, client)


def test_a_silent_camera_is_told_once_whatever_restarts(client: Client, redis_url: str) -> None:
    settings = settings_at(redis_url, camera_silent_s=0.05, reorder_ms=0)
    clock = Clock()
    loop = loop_of(store_of(client, settings), settings, clock)
    line.publish(client, [(0, OK)])
    for _ in range(3):
        for _ in range(4):
            loop.step()
            clock.now += 2
        loop = loop_of(store_of(client, settings), settings, clock)
    assert [(event.kind, event.state) for event in line.alerts(client)] == [(AlertKind.CAMERA_SILENT, RAISED)]
    line.publish(client, [(1, OK)])
    loop.step()
    assert [event.state for event in line.alerts(client)] == [RAISED, CLEARED]


@pytest.mark.parametrize("by_s", [-3600, 0, 3600])
def test_silence_is_told_in_time_also_where_the_clock_of_redis_is_set(
    client: Client, redis_url: str, by_s: int
) -> None:
    settings = settings_at(redis_url, camera_silent_s=30, reorder_ms=0)
    clock, store = Clock(), SetClockStore(client, line.KEYS, settings.keep)
    loop = loop_of(store, settings, clock)
    line.publish(client, [(0, OK)])
    loop.step()
    store.by_s = by_s
    for _ in range(28):  # nobody is silent because a clock was set
        loop.step()
        clock.now += 1
    assert line.alerts(client) == []
    store.by_s += 30  # and it goes on as ours does
    clock.now += 2
    loop.step()
    assert [(event.kind, event.state) for event in line.alerts(client)] == [(AlertKind.CAMERA_SILENT, RAISED)]


def test_a_camera_that_is_expected_and_never_comes_is_told_once_until_it_comes(client: Client, redis_url: str) -> None:
    settings = settings_at(redis_url, camera_silent_s=0.05, reorder_ms=0, cameras="c1")
    clock = Clock()
    for _ in range(3):  # it restarts with the silence open
        loop = loop_of(store_of(client, settings), settings, clock)
        for _ in range(3):
            loop.step()
            clock.now += 2
    told = line.alerts(client)
    assert [(event.camera, event.kind, event.state) for event in told] == [("c1", AlertKind.CAMERA_SILENT, RAISED)]
    line.publish(client, [(0, OK)])
    loop.step()
    assert [(event.camera, event.state) for event in line.alerts(client)[1:]] == [("c1", CLEARED)]


def test_a_camera_that_never_comes_again_is_forgotten_with_what_is_open_of_it(
    client: Client, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_at(redis_url, camera_silent_s=0.05, reorder_ms=0)
    clock = Clock()
    loop = loop_of(store_of(client, settings), settings, clock)
    line.publish(client, [(0, NG), (1, NG), (2, NG)])
    for _ in range(3):
        loop.step()
        clock.now += 2
    assert [event.state for event in line.alerts(client)] == [RAISED, RAISED]
    # Given that its time is over, I expect its alerts to end, once, and nothing to be left of it
    monkeypatch.setattr("worker.alerts.policy.FORGOTTEN_AFTER_S", 0.1)
    for _ in range(3):
        loop.step()
        clock.now += 2
    told = line.alerts(client)
    assert [event.state for event in told] == [RAISED, RAISED, CLEARED, CLEARED]
    assert len({event.alert_id for event in told}) == 2
    assert store_of(client, settings).load() == {}
    # A camera of that name begins afresh.
    monkeypatch.undo()
    line.publish(client, [(0, NG), (1, NG), (2, NG)])
    loop.step()
    assert [event.state for event in line.alerts(client)[4:]] == [RAISED]


def test_a_state_that_expired_under_a_living_process_is_begun_afresh(client: Client, settings: Settings) -> None:
    clock = Clock()
    loop = loop_of(store_of(client, settings), settings, clock)
    line.publish(client, [(0, NG), (1, NG)])
    settle(loop, clock, client)
    client.execute_command("DEL", line.KEYS.alarm("c1"))
    line.publish(client, [(2, NG), (3, NG), (4, NG)])
    settle(loop, clock, client)
    assert [(event.state, event.count) for event in line.alerts(client)] == [(RAISED, 3)]


def test_the_backlog_and_a_dead_worker_are_told(client: Client, redis_url: str) -> None:
    settings = settings_at(redis_url, worker_down_s=0.05, backlog_share=0.002)
    client.execute_command("XADD", line.KEYS.frames, "*", "camera", "c1")
    client.execute_command("XADD", line.KEYS.frames, "*", "camera", "c1")
    client.execute_command("XGROUP", "CREATE", line.KEYS.frames, GROUP_INSPECT, "0")
    client.execute_command("XREADGROUP", "GROUP", GROUP_INSPECT, "host:cpu:0", "STREAMS", line.KEYS.frames, ">")
    clock = Clock()
    loop = loop_of(store_of(client, settings), settings, clock)
    time.sleep(0.1)  # it has been away for so long
    loop.step()
    assert [(event.kind, event.state) for event in line.alerts(client)] == [
        (AlertKind.BACKLOG, RAISED),
        (AlertKind.WORKER_DOWN, RAISED),
    ]
    client.execute_command("XGROUP", "DESTROY", line.KEYS.frames, GROUP_INSPECT)
    client.execute_command("DEL", line.KEYS.frames)
    clock.now += 2
    loop.step()
    assert [event.state for event in line.alerts(client)[2:]] == [CLEARED, CLEARED]


def test_a_state_that_cannot_be_read_is_begun_afresh(client: Client, settings: Settings) -> None:
    client.execute_command("HSET", line.KEYS.alarm("c1"), "version", "7", "state", "{rubbish")
    clock = Clock()
    loop = loop_of(store_of(client, settings), settings, clock)
    line.publish(client, [(0, NG), (1, NG), (2, NG)])
    settle(loop, clock, client)
    assert [event.state for event in line.alerts(client)] == [RAISED]


def test_a_redis_that_goes_away_and_comes_back_empty_is_ridden_out() -> None:
    with EmbeddedRedis() as server:
        port, settings = server.port, settings_at(server.url, reorder_ms=20)
        stop = threading.Event()
        thread = threading.Thread(target=run_alerts, args=(settings, stop))
        thread.start()
        client = connect(settings)
        line.publish(client, [(0, NG), (1, NG), (2, NG)])
        line.wait_until(lambda: len(line.alerts(client)) == 1)
    with EmbeddedRedis(port=port):
        client = connect(settings)
        line.publish(client, [(3, NG), (4, NG), (5, NG)])
        line.wait_until(lambda: [event.state for event in line.alerts(client)] == [RAISED])
        stop.set()
        thread.join(10)
        assert not thread.is_alive()
        client.close()


def test_what_waiting_does_not_mend_ends_the_process(redis_url: str, client: Client) -> None:
    client.execute_command("SET", line.KEYS.results, "not a stream")
    with pytest.raises(StreamError, match="WRONGTYPE") as caught:
        run_alerts(settings_at(redis_url), threading.Event())
    assert not isinstance(caught.value, StreamUnavailable)
