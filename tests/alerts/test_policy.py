"""The rules for one camera."""

from __future__ import annotations

from collections import deque
from itertools import pairwise

import pytest
from alert_results import INVALID, LATE, MS, NG, OK, START_MS, result
from hypothesis import given
from hypothesis import strategies as st

from worker.alerts.life import NS
from worker.alerts.policy import CameraState, check_forgotten, check_silence, judge, observe
from worker.settings import AlertRule, AlertSettings
from worker.types import Alert, AlertKind, AlertState, Result, Verdict

RAISED, UPDATED, CLEARED = AlertState.RAISED, AlertState.UPDATED, AlertState.CLEARED
ANOMALY = AlertKind.ANOMALY


def only_anomaly(**more: object) -> AlertSettings:
    off = AlertRule(enabled=False)
    return AlertSettings(**{"invalid": off, "late": off, "update_every_s": 0} | more)


def at(number: int, step_ms: int = 100) -> int:
    return (START_MS + number * step_ms) * MS


def feed(
    verdicts: list[Verdict | Result],
    settings: AlertSettings,
    state: CameraState | None = None,
    start: int = 0,
) -> tuple[CameraState, list[Alert]]:
    state, events = state or CameraState(), []
    for number, verdict in enumerate(verdicts, start=start):
        one = verdict if isinstance(verdict, Result) else result(number, verdict)
        state, told = observe(state, one, at(number), settings)
        events += told
    return state, events


def states(events: list[Alert]) -> list[AlertState]:
    return [event.state for event in events]


def test_three_bad_of_the_last_five_raise() -> None:
    _, events = feed([NG, OK, NG, OK, OK, NG, NG], only_anomaly())
    assert states(events) == [RAISED]
    raised = events[0]
    assert (raised.frame, raised.count, raised.score, raised.model) == (result(6).frame, 3, 0.02, "m1")
    assert raised.opened_at == raised.at == at(6)


def test_two_bad_of_five_do_not() -> None:
    assert feed([NG, OK, OK, OK, NG, OK, OK, OK, NG], only_anomaly())[1] == []


def test_a_run_of_good_ones_clears_and_a_broken_run_does_not() -> None:
    _, events = feed([NG, NG, NG, OK, OK, OK, OK, NG, OK, OK, OK, OK, OK], only_anomaly(update_every_s=9))
    assert states(events) == [RAISED, CLEARED]
    assert events[1].alert_id == events[0].alert_id
    assert (events[1].count, events[1].opened_at) == (4, events[0].opened_at)


def test_bad_ones_from_before_the_clearing_do_not_help_to_raise_again() -> None:
    rule = AlertRule(window=10, raise_at=3, clear_after=2)
    _, events = feed([NG, NG, NG, OK, OK, NG, OK], only_anomaly(anomaly=rule))
    assert states(events) == [RAISED, CLEARED]


def test_updates_come_with_news_and_not_too_often() -> None:
    _, events = feed([NG] * 34, only_anomaly(update_every_s=1))  # ten results a second
    assert [(event.state, event.count) for event in events] == [
        (RAISED, 3), (UPDATED, 13), (UPDATED, 23), (UPDATED, 33),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("one", "anomaly", "invalid", "late"),
    [
        (result(0, OK), False, False, False),
        (result(0, NG), True, False, False),
        (result(0, INVALID), None, True, False),
        (result(0, LATE), None, None, True),
        (result(0, LATE, score=0.5, threshold=0.01), True, False, True),
        (result(0, LATE, score=float("nan"), threshold=0.01), None, True, True),
        (result(0, LATE, score=0.005, threshold=0.01), None, False, True),
    ],
)
def test_what_each_verdict_says_of_each_kind(
    one: Result, anomaly: bool | None, invalid: bool | None, late: bool | None
) -> None:
    judged = [judge(kind, one) for kind in (ANOMALY, AlertKind.INVALID, AlertKind.LATE)]
    assert judged == [anomaly, invalid, late]


def test_frames_that_nobody_judged_never_clear_an_anomaly() -> None:
    state, events = feed([NG, NG, NG, *[INVALID, LATE] * 20], only_anomaly())
    assert states(events) == [RAISED]
    assert state.rules[ANOMALY].opened is not None
    # Given a run of good ones with such frames in between, it clears.
    _, events = feed([OK, LATE, OK, INVALID, OK, OK, OK], only_anomaly(), state, start=50)
    assert states(events) == [CLEARED]


def test_a_rule_that_is_switched_off_closes_its_alert() -> None:
    state, _ = feed([NG, NG, NG], only_anomaly())
    state, events = feed([NG, NG], only_anomaly(anomaly=AlertRule(enabled=False)), state, start=3)
    assert states(events) == [CLEARED]


def test_a_score_that_is_no_number_stays_out_of_the_event() -> None:
    settings = AlertSettings(invalid=AlertRule(window=1, raise_at=1, clear_after=1))
    _, events = feed([result(0, INVALID, score=float("nan"))], settings)
    assert events[0].score is None


def test_silence_is_raised_once_and_ended_by_a_result() -> None:
    settings = AlertSettings(camera_silent_s=30)
    state, _ = feed([OK], settings)
    assert check_silence("c1", state, at(0) + 29 * NS, 0, settings)[1] == []
    state, events = check_silence("c1", state, at(0) + 30 * NS, 0, settings)
    assert states(events) == [RAISED]
    # It survives restarts without being raised again, however long ago.
    state = CameraState.model_validate_json(state.model_dump_json())
    assert check_silence("c1", state, at(0) + 3_000 * NS, 0, settings)[1] == []
    state, more = observe(state, result(1), at(0) + 4_000 * NS, settings)
    assert states(more) == [CLEARED]
    assert more[0].alert_id == events[0].alert_id
    assert more[0].kind is AlertKind.CAMERA_SILENT


def test_silence_counts_from_when_results_are_read() -> None:
    settings = AlertSettings(camera_silent_s=30)
    state, _ = feed([OK], settings)
    morning = at(0) + 40_000 * NS
    assert check_silence("c1", state, morning + 29 * NS, morning, settings)[1] == []
    assert states(check_silence("c1", state, morning + 30 * NS, morning, settings)[1]) == [RAISED]


def test_an_expected_camera_that_never_gave_anything_is_silent_too() -> None:
    settings = AlertSettings(camera_silent_s=30, cameras="c0, c1")
    assert check_silence("c1", CameraState(), at(29), at(0), settings)[1] == []
    state, (raised,) = check_silence("c1", CameraState(), at(0) + 30 * NS, at(0), settings)
    assert (raised.state, raised.camera) == (RAISED, "c1")
    assert raised.message == "no result from c1 for 30 s; there never was one"
    # It is not forgotten while it is expected, is cleared by its first result, and ends when it is expected no more.
    assert check_forgotten("c1", state, at(0) + 10**9 * NS, settings) is None
    _, (cleared,) = observe(state, result(0), at(0) + 40 * NS, settings)
    assert (cleared.state, cleared.alert_id) == (CLEARED, raised.alert_id)
    assert cleared.message == "c1 gives results"
    assert states(check_forgotten("c1", state, at(0) + 60 * NS, AlertSettings()) or []) == [CLEARED]


def test_a_camera_on_demand_may_be_silent_unless_it_is_expected() -> None:
    watched, expected = AlertSettings(camera_silent_s=30), AlertSettings(camera_silent_s=30, cameras="c1")
    state, _ = feed([OK], watched)
    late = at(0) + 40 * NS
    assert check_silence("c1", state, late, 0, watched, on_demand=True)[1] == []
    assert states(check_silence("c1", state, late, 0, expected, on_demand=True)[1]) == [RAISED]
    # One that is open when the camera becomes one on demand is cleared.
    silent, _ = check_silence("c1", state, late, 0, watched)
    assert states(check_silence("c1", silent, late, 0, watched, on_demand=True)[1]) == [CLEARED]


def test_silence_is_not_looked_for_where_it_is_off_or_nothing_was_seen() -> None:
    off = AlertSettings(camera_silent_s=0)
    assert check_silence("c1", feed([OK], off)[0], at(10**6), 0, off)[1] == []
    assert check_silence("c1", CameraState(), at(10**6), 0, AlertSettings())[1] == []
    silent, _ = check_silence("c1", feed([OK], off)[0], at(10**6), 0, AlertSettings())
    assert states(check_silence("c1", silent, at(10**6), 0, off)[1]) == [CLEARED]


verdicts = st.lists(
    st.one_of(
        st.sampled_from([OK, NG, NG, INVALID, LATE]),
        st.just(result(0, LATE, score=0.5, threshold=0.01)),
    ),
    max_size=120,
)


@st.composite
def rules(draw: st.DrawFn) -> AlertRule:
    window = draw(st.integers(1, 8))
    raise_at, clear_after = draw(st.integers(1, window)), draw(st.integers(1, 6))
    return AlertRule(window=window, raise_at=raise_at, clear_after=clear_after)


@st.composite
def alert_settings(draw: st.DrawFn) -> AlertSettings:
    every_s = draw(st.sampled_from([0.0, 0.25, 5.0]))
    return AlertSettings(anomaly=draw(rules()), invalid=draw(rules()), late=draw(rules()), update_every_s=every_s)


def numbered(verdicts: list[Verdict | Result]) -> list[Result]:
    return [
        result(number, one.verdict if isinstance(one, Result) else one, **_scores(one))
        for number, one in enumerate(verdicts)
    ]


def _scores(one: Verdict | Result) -> dict[str, float | None]:
    return {"score": one.score, "threshold": one.threshold} if isinstance(one, Result) else {}


@given(verdicts, alert_settings())
def test_every_alert_lives_in_legal_order(verdicts: list[Verdict | Result], settings: AlertSettings) -> None:
    _, events = feed(numbered(verdicts), settings)
    lives: dict[str, list[Alert]] = {}
    for event in events:
        lives.setdefault(event.alert_id, []).append(event)
    for life in lives.values():
        order = states(life)
        assert order[0] is RAISED
        assert all(state is UPDATED for state in order[1:-1])
        assert order[-1] in (RAISED, UPDATED, CLEARED)
        assert order.count(RAISED) == 1
        counts = [event.count for event in life if event.state is not CLEARED]
        assert all(low < high for low, high in pairwise(counts))
        assert len({(event.opened_at, event.camera, event.kind, event.severity) for event in life}) == 1
        times = [event.at for event in life]
        assert times == sorted(times)
    for kind in (ANOMALY, AlertKind.INVALID, AlertKind.LATE):
        open_now = 0
        for event in [event for event in events if event.kind is kind]:
            open_now += {RAISED: 1, CLEARED: -1}.get(event.state, 0)
            assert open_now in (0, 1)


@given(verdicts, rules())
def test_raised_exactly_when_n_of_m(verdicts: list[Verdict | Result], rule: AlertRule) -> None:
    """Against the rule in the plainest words."""
    expected, window, run, is_open = [], deque[bool](maxlen=rule.window), 0, False
    for one in numbered(verdicts):
        bad = judge(ANOMALY, one)
        if bad is None:
            continue
        window.append(bad)
        run = 0 if bad else run + 1
        if not is_open and bad and sum(window) >= rule.raise_at:
            is_open = True
            expected.append((RAISED, one.frame))
        elif is_open and run >= rule.clear_after:
            is_open = False
            window.clear()
            run = 0
            expected.append((CLEARED, one.frame))
    _, events = feed(numbered(verdicts), only_anomaly(anomaly=rule))
    assert [(event.state, event.frame) for event in events if event.state is not UPDATED] == expected


@given(verdicts, alert_settings(), st.data())
def test_a_restart_anywhere_changes_nothing(
    verdicts: list[Verdict | Result], settings: AlertSettings, data: st.DataObject
) -> None:
    results = numbered(verdicts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(results)), max_size=5)))
    state, events = CameraState(), []
    for begin, end in zip([0, *cuts], [*cuts, len(results)], strict=True):
        state = CameraState.model_validate_json(state.model_dump_json())
        state, told = feed(results[begin:end], settings, state, start=begin)
        events += told
    whole_state, whole = feed(results, settings)
    assert events == whole
    assert state == whole_state
