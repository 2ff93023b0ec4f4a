"""Alerts about the line as a whole."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from worker.alerts.conditions import LineState, check_line
from worker.settings import AlertSettings, QueueSettings, Settings
from worker.types import Alert, AlertKind, AlertState

RAISED, UPDATED, CLEARED = AlertState.RAISED, AlertState.UPDATED, AlertState.CLEARED
S = 1_000_000_000


@dataclass
class Worker:
    name: str
    away_s: float


def settings(**alerts: object) -> Settings:
    return Settings(queue=QueueSettings(max_frames=100), alerts=AlertSettings(**{"update_every_s": 10} | alerts))


def watch(looks: list[tuple[int, list[Worker]]], chosen: Settings | None = None) -> list[Alert]:
    state, events = LineState(), []
    for second, (waiting, workers) in enumerate(looks):
        state = LineState.model_validate_json(state.model_dump_json())
        state, told = check_line(state, waiting, workers, second * S, chosen or settings())
        events += told
    return events


def states(events: list[Alert]) -> list[AlertState]:
    return [event.state for event in events]


def test_a_backlog_is_raised_at_its_share_and_cleared_below_half_of_it() -> None:
    events = watch([(waiting, []) for waiting in (79, 80, 79, 41, 40, 80, 39, 39)])
    assert [(event.state, event.count) for event in events] == [(RAISED, 80), (CLEARED, 80)]


def test_a_growing_backlog_is_updated_now_and_then() -> None:
    events = watch([(80 + second, []) for second in range(21)])
    assert [(event.state, event.count) for event in events] == [(RAISED, 80), (UPDATED, 90), (UPDATED, 100)]


def test_each_worker_that_is_gone_has_its_own_alert() -> None:
    there = Worker("a", 0.2)
    events = watch(
        [
            (0, [there, Worker("b", 14), Worker("c", 14)]),
            (0, [there, Worker("b", 15), Worker("c", 15)]),
            (0, [there, Worker("b", 0.1), Worker("c", 16)]),  # b is back
            (0, [there, Worker("b", 0.1)]),  # c was removed from the group
        ]
    )
    assert states(events) == [RAISED, RAISED, CLEARED, CLEARED]
    assert events[0].alert_id == events[2].alert_id != events[1].alert_id == events[3].alert_id
    assert "worker b is back" in events[2].message
    assert "c has left" in events[3].message


def test_what_is_switched_off_is_not_raised_and_is_cleared() -> None:
    off = settings(backlog_share=0, worker_down_s=0)
    assert watch([(100, [Worker("a", 99)])], off) == []
    state, _ = check_line(LineState(), 100, [Worker("a", 99)], S, settings())
    assert states(check_line(state, 100, [Worker("a", 99)], 2 * S, off)[1]) == [CLEARED, CLEARED]


@given(st.lists(st.tuples(st.integers(0, 120), st.lists(st.booleans(), min_size=2, max_size=2)), max_size=60))
def test_every_alert_lives_in_legal_order(looks: list[tuple[int, list[bool]]]) -> None:
    events = watch([(waiting, [Worker(str(n), 99 * gone) for n, gone in enumerate(down)]) for waiting, down in looks])
    for alert_id in {event.alert_id for event in events}:
        order = states([event for event in events if event.alert_id == alert_id])
        assert order[0] is RAISED
        assert set(order[1:-1]) <= {UPDATED}
        assert RAISED not in order[1:]


@dataclass
class Problem:
    worker: str
    reason: str
    at: int


def look(state: LineState, second: int, *problems: Problem) -> tuple[LineState, list[Alert]]:
    state = LineState.model_validate_json(state.model_dump_json())
    return check_line(state, 0, [], second * S, settings(), problems)


def test_evidence_that_cannot_be_kept_is_one_alert_of_the_line_until_it_can() -> None:
    state, events = look(LineState(), 100, Problem("b", "disk: No space left on device", 99 * S))
    assert [(event.state, event.kind, event.count) for event in events] == [(RAISED, AlertKind.EVIDENCE, 1)]
    assert events[0].message == "evidence is not kept by b: disk: No space left on device"
    both = Problem("a", "disk: No space left on device", 110 * S), Problem("b", "x", 110 * S)
    state, events = look(state, 110, *both)
    assert [(event.state, event.count) for event in events] == [(UPDATED, 2)]
    assert "by a and 1 more: disk" in events[0].message
    state, events = look(state, 111, both[0])
    assert events == []
    state, events = look(state, 112)
    assert states(events) == [CLEARED]
    assert look(state, 113)[1] == []


def test_a_worker_that_is_gone_with_its_problem_does_not_keep_the_alert_open() -> None:
    problem = Problem("a", "x", 100 * S)
    state, events = look(LineState(), 101, problem)
    assert states(events) == [RAISED]
    state, events = look(state, 159, problem)
    assert events == []
    state, events = look(state, 160, problem)
    assert states(events) == [CLEARED]
    # Nor does one whose time is far ahead, as after a failover to a server with another clock
    assert look(state, 161, Problem("a", "x", 1_000 * S))[1] == []
