"""What acknowledging and shelving make of an alert's life."""

from __future__ import annotations

from dataclasses import dataclass, field

from alert_results import LATE, MS, NG, OK, START_MS, result
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.alerts.conditions import LineState, check_line
from worker.alerts.life import NS
from worker.alerts.opened import acknowledge, open_alerts, tell_unshelved
from worker.alerts.overview import overview
from worker.alerts.policy import CameraState, check_forgotten, check_silence, observe
from worker.alerts.shelf import in_force, is_shelved, shelve, unshelve
from worker.orders import Acknowledge, Shelve, Unshelve
from worker.settings import AlertRule, AlertSettings, QueueSettings, Settings
from worker.types import Alert, AlertKind, AlertState, Verdict

RAISED, UPDATED, CLEARED, ACKNOWLEDGED = (
    AlertState.RAISED, AlertState.UPDATED, AlertState.CLEARED, AlertState.ACKNOWLEDGED,
)  # fmt: skip
CAMERAS = ("c1", "c2")
QUICK = AlertRule(window=2, raise_at=1, clear_after=2)


@dataclass
class Watch:
    """The decisions of an alert process, step by step, without Redis; states go through JSON, as they do there."""

    now: int = START_MS * MS
    number: int = 0
    states: dict[str, CameraState] = field(default_factory=lambda: {camera: CameraState() for camera in CAMERAS})
    line: LineState = field(default_factory=LineState)
    events: list[Alert] = field(default_factory=list)

    settings = Settings(
        queue=QueueSettings(max_frames=100),
        alerts=AlertSettings(anomaly=QUICK, late=QUICK, camera_silent_s=30, update_every_s=0),
    )

    def give(self, verdict: Verdict, camera: str = "c1") -> None:
        self.number += 1
        one = result(self.number, verdict, camera=camera)
        self._keep(camera, *observe(self.states[camera], one, self.now, self.settings.alerts, self.line.shelves))

    def pass_time(self, seconds: float) -> None:
        self.now += int(seconds * NS)

    def look(self, waiting: int = 0) -> None:
        for camera, state in self.states.items():
            told = check_silence(camera, state, self.now, 0, self.settings.alerts, shelves=self.line.shelves)
            self._keep(camera, *told)
        self._keep("", *check_line(self.line, waiting, [], self.now, self.settings))

    def attend(self) -> None:
        self.line = self.line.model_copy(update={"shelves": in_force(self.line.shelves, self.now)})
        for name in ("", *CAMERAS):
            self._keep(name, *tell_unshelved(self._state(name), self.now, self.line.shelves))

    def shelve(self, camera: str = "", seconds: int = 60, kind: AlertKind | str = "") -> None:
        order = Shelve(camera=camera, kind=kind, seconds=seconds, by="anna")
        self.line = self.line.model_copy(update={"shelves": shelve(self.line.shelves, order, self.now, self.now)})

    def unshelve(self, camera: str = "") -> None:
        order = Unshelve(camera=camera, by="anna")
        self.line = self.line.model_copy(update={"shelves": unshelve(self.line.shelves, order)})

    def acknowledge(self, alert_id: str, by: str = "anna", note: str = "") -> None:
        order = Acknowledge(alert_id=alert_id, by=by, note=note)
        for name in ("", *CAMERAS):
            self._keep(name, *acknowledge(self._state(name), order, self.now))

    @property
    def open(self) -> list[str]:
        return [alert.alert_id for name in ("", *CAMERAS) for alert in open_alerts(self._state(name))]

    def told(self) -> list[AlertState]:
        """What a sink gets."""
        return [event.state for event in self.events if not event.shelved]

    def _state(self, name: str) -> CameraState | LineState:
        return self.states[name] if name else self.line

    def _keep(self, name: str, state: CameraState | LineState, events: list[Alert]) -> None:
        state = type(state).model_validate_json(state.model_dump_json())
        if isinstance(state, LineState):
            self.line = state
        else:
            self.states[name] = state
        for event in events:
            if event.state in (RAISED, UPDATED):
                assert event.shelved or not is_shelved(self.line.shelves, event.camera, event.kind)
        self.events += events


def test_an_alert_is_acknowledged_once_and_makes_no_more_updates() -> None:
    watch = Watch()
    watch.give(NG)
    watch.give(NG)
    watch.acknowledge(*watch.open, by="anna", note="on my way")
    watch.acknowledge(*watch.open, by="bo")
    for _ in range(5):
        watch.pass_time(100)
        watch.give(NG)
    watch.give(OK)
    watch.give(OK)
    assert [event.state for event in watch.events] == [RAISED, UPDATED, ACKNOWLEDGED, CLEARED]
    told = watch.events[2]
    assert (told.by, told.note, told.count, told.alert_id) == ("anna", "on my way", 2, watch.events[0].alert_id)
    assert (watch.events[3].by, watch.events[3].count) == ("", 7)
    # What is raised anew is another alert, which nobody has in hand.
    for _ in range(2):
        watch.give(NG)
    assert [event.state for event in watch.events[4:]] == [RAISED, UPDATED]


def test_an_alert_that_is_not_open_cannot_be_acknowledged() -> None:
    watch = Watch()
    watch.acknowledge("c1:anomaly:1-0")
    assert watch.events == []


def test_what_is_raised_and_cleared_on_a_shelf_is_told_to_nobody_and_stands_on_the_stream() -> None:
    watch = Watch()
    watch.shelve("c1")
    for verdict in (NG, NG, OK, OK):
        watch.give(verdict)
        watch.give(verdict, "c2")
    of_c1 = [(event.state, event.shelved) for event in watch.events if event.camera == "c1"]
    assert of_c1 == [(RAISED, True), (UPDATED, True), (CLEARED, True)]
    assert watch.told() == [RAISED, UPDATED, CLEARED]


def test_what_was_told_before_it_was_shelved_is_cleared_where_it_was_told() -> None:
    watch = Watch()
    watch.give(NG)
    watch.shelve("c1")
    for verdict in (NG, OK, OK):
        watch.give(verdict)
    assert [(event.state, event.shelved) for event in watch.events] == [
        (RAISED, False), (UPDATED, True), (CLEARED, False),
    ]  # fmt: skip


def test_what_is_still_open_when_its_shelf_ends_is_raised_then_once() -> None:
    watch = Watch()
    watch.shelve("c1", seconds=60)
    watch.give(NG)
    watch.attend()
    assert watch.told() == []
    watch.pass_time(60)
    for _ in range(3):
        watch.attend()
    first, second = watch.events
    assert (second.state, second.shelved) == (RAISED, False)
    assert (second.alert_id, second.opened_at, second.count) == (first.alert_id, first.opened_at, first.count)
    assert second.at == first.at + 60 * NS
    assert second.message == f"was shelved and is still open: {first.message}"
    # From then on it is as any other.
    watch.give(NG)
    watch.give(OK)
    watch.give(OK)
    assert watch.told() == [RAISED, UPDATED, CLEARED]


def test_a_shelf_that_somebody_ends_is_over_at_once() -> None:
    watch = Watch()
    watch.shelve()
    watch.give(NG)
    watch.look(waiting=99)
    watch.unshelve("c1")  # there is none of c1 alone
    watch.attend()
    assert watch.told() == []
    watch.unshelve()
    watch.attend()
    assert sorted(event.kind for event in watch.events if not event.shelved) == ["anomaly", "backlog"]


def test_a_result_that_comes_before_anybody_looked_does_not_go_before_the_raising() -> None:
    watch = Watch()
    watch.shelve("c1")
    watch.give(NG)
    watch.unshelve("c1")
    watch.give(NG)
    assert watch.told() == []
    watch.attend()
    assert watch.told() == [RAISED]
    assert watch.events[-1].count == 2


def test_what_somebody_has_in_hand_when_its_shelf_ends_is_not_told() -> None:
    watch = Watch()
    watch.shelve("c1")
    watch.give(NG)
    watch.acknowledge(*watch.open)
    watch.unshelve("c1")
    watch.attend()
    for verdict in (NG, OK, OK):
        watch.give(verdict)
    assert watch.told() == []
    assert [event.state for event in watch.events] == [RAISED, ACKNOWLEDGED, CLEARED]


def test_a_camera_that_is_forgotten_while_it_is_shelved_ends_as_quietly() -> None:
    watch = Watch()
    watch.give(OK)
    watch.shelve("c1")
    watch.pass_time(40)
    watch.look()
    ending = check_forgotten("c1", watch.states["c1"], watch.now + 10**18, watch.settings.alerts)
    assert [(event.state, event.shelved) for event in ending or []] == [(CLEARED, True)]


def test_a_state_from_before_there_were_shelves_was_told() -> None:
    watch = Watch()
    watch.give(NG)
    old = watch.states["c1"].model_dump(mode="json")
    for name in ("message", "told", "acknowledged_at", "acknowledged_by", "note"):
        del old["rules"]["anomaly"]["opened"][name]
    watch.states["c1"] = CameraState.model_validate(old)
    watch.attend()
    for verdict in (NG, OK, OK):
        watch.give(verdict)
    assert watch.told() == [RAISED, UPDATED, CLEARED]


def test_the_overview_says_who_has_what_in_hand_and_what_is_put_aside() -> None:
    watch = Watch()
    watch.give(NG)
    watch.pass_time(5)
    watch.give(LATE, "c2")
    watch.look(waiting=99)
    watch.shelve("c2", seconds=60)
    watch.shelve("c2", seconds=600, kind=AlertKind.LATE)
    watch.acknowledge(watch.open[1], by="anna", note="lens")
    seen = overview(watch.states.values(), watch.line, watch.now)
    assert [(one.camera, one.kind, one.acknowledged_by, one.note) for one in seen.alerts] == [
        ("c1", "anomaly", "anna", "lens"), ("c2", "late", "", ""), ("", "backlog", "", ""),
    ]  # fmt: skip
    assert [one.shelved_until for one in seen.alerts] == [0, watch.now + 600 * NS, 0]
    assert seen.alerts[0].opened_at == watch.now - 5 * NS
    # It does not wait for the alert process to end what is over.
    later = overview(watch.states.values(), watch.line, watch.now + 61 * NS)
    assert [str(shelf) for shelf in later.shelves] == ["late alerts of c2"]


_steps = st.lists(
    st.one_of(
        st.tuples(st.just("give"), st.sampled_from([OK, OK, NG, NG, LATE]), st.sampled_from(CAMERAS)),
        st.tuples(st.just("pass_time"), st.sampled_from([1, 20, 45, -30])),
        st.tuples(st.just("look"), st.sampled_from([0, 50, 90, 100])),
        st.tuples(st.just("attend")),
        st.tuples(st.just("shelve"), st.sampled_from(["", *CAMERAS]), st.sampled_from([1, 30, 600])),
        st.tuples(st.just("unshelve"), st.sampled_from(["", *CAMERAS])),
        st.tuples(st.just("acknowledge"), st.integers(0, 3)),
    ),
    min_size=30,  # short lists are only the beginnings of these
    max_size=80,
)


@settings(max_examples=400)
@given(_steps)
def test_whatever_comes_between_a_sink_sees_each_alert_in_legal_order(steps: list[tuple[object, ...]]) -> None:
    watch = Watch()
    for name, *arguments in steps:
        watch.now += MS  # no two looks come in the same millisecond
        if name == "acknowledge":
            if watch.open:
                watch.acknowledge(watch.open[int(str(arguments[0])) % len(watch.open)])
        else:
            getattr(watch, str(name))(*arguments)
    _check_lives([event for event in watch.events if not event.shelved], set(watch.open))
    # Whoever reads the whole stream sees every alert, shelved or not: raised, perhaps raised once more for the sinks.
    for alert_id, life in _lives(watch.events).items():
        states = [event.state for event in life]
        assert states[0] is RAISED
        assert states.count(RAISED) <= 1 + life[0].shelved
        assert (states[-1] is CLEARED) == (alert_id not in watch.open)
        assert states.count(CLEARED) <= 1
    # When all shelves are over and somebody looked, what is open was told or is in somebody's hands.
    watch.pass_time(10_000)
    watch.attend()
    told = {event.alert_id for event in watch.events if not event.shelved}
    in_hand = {event.alert_id for event in watch.events if event.state is ACKNOWLEDGED}
    assert set(watch.open) <= told | in_hand


def _check_lives(told: list[Alert], still_open: set[str]) -> None:
    for alert_id, life in _lives(told).items():
        states = [event.state for event in life]
        assert states[0] is RAISED
        assert states.count(RAISED) == 1
        assert states.count(ACKNOWLEDGED) <= 1
        if ACKNOWLEDGED in states:
            assert set(states[states.index(ACKNOWLEDGED) + 1 :]) <= {CLEARED}
        assert (states[-1] is CLEARED) == (alert_id not in still_open)
        assert states.count(CLEARED) <= 1
        times = [event.at for event in life]
        assert times == sorted(times)


def _lives(events: list[Alert]) -> dict[str, list[Alert]]:
    lives: dict[str, list[Alert]] = {}
    for event in events:
        lives.setdefault(event.alert_id, []).append(event)
    return lives
