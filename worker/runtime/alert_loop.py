"""Results in, decisions out, one atomic step a camera."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import structlog

from worker.alerts.conditions import check_line
from worker.alerts.life import NS
from worker.alerts.order import Reorder
from worker.alerts.policy import RULES, CameraState, check_forgotten, check_silence, observe
from worker.errors import StreamUnavailable
from worker.metrics import AlertMetrics
from worker.runtime.alert_states import AlertStates, Superseded
from worker.runtime.attending import Attending
from worker.runtime.retry import Outage
from worker.settings import Settings
from worker.stream.alarm_states import LINE
from worker.stream.alerting import AlertStore
from worker.stream.connection import BLOCK_MS
from worker.stream.fields import entry_time_ns
from worker.types import Alert, AlertKind, Result

log = structlog.get_logger()

PAGE = 100
LOOK_EVERY_S = 1.0
ATTEND_EVERY_S = 0.5
LEFT_AFTER_MS = 2_000
"""A result that is unsettled so long after its reorder window is in the hands of nobody: who read it has died."""

Clock = Callable[[], float]


class AlertLoop:
    """Reads results, puts each camera's in order, decides; commits decision and acknowledgement as one."""

    def __init__(
        self,
        store: AlertStore,
        settings: Settings,
        metrics: AlertMetrics,
        clock: Clock = time.monotonic,
    ) -> None:
        self._store = store
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._states = AlertStates(store, metrics)
        self._attending = Attending(store, self._states)
        self._held: dict[str, Reorder] = {}
        self._quiet: dict[str, tuple[str, float]] = {}
        self._next_attend = 0.0
        self._next_look = 0.0
        self._met_another = False

    def run(self, stop: threading.Event) -> None:
        """Step until told to stop. After an outage all is read anew: what a lost answer did is seen."""
        outage = Outage("alerts")
        while not stop.is_set():
            try:
                self.begin()
                while not stop.is_set():
                    self.step()
                    outage.over()
            except StreamUnavailable as error:
                outage.wait(error, stop)

    def begin(self) -> None:
        """Start, or start again after an outage: silence counts from here."""
        self._reload()
        self._quiet = {}

    def step(self) -> None:
        """Read, order, decide and commit; once in a while attend to people, and look at the line as a whole."""
        results = self._store.read(PAGE, self._patience_ms())
        try:
            self._hold(results)
            self._settle()
            if self._clock() >= self._next_attend:
                more = self._attending.attend()
                self._next_attend = self._clock() + (0 if more else ATTEND_EVERY_S)
            caught_up = len(results) < PAGE
            if caught_up and self._clock() >= self._next_look:
                if self._has_left():
                    log.info("taking over the results that another alert process left")
                    self._reload()
                else:
                    self._look()
                self._next_look = self._clock() + LOOK_EVERY_S
        except Superseded:
            if not self._met_another:
                log.warning("another alert process serves this line too; one is enough")
            self._met_another = True
            self._reload()

    def _reload(self) -> None:
        """Take the states, then the results that wait under them: in this order, see AlertStore."""
        self._states.load()
        self._attending.begin()
        self._held = {}
        self._hold(self._store.pending())

    def _has_left(self) -> bool:
        # Ours are settled when their window ends, and so are those of a second process while it lives.
        return self._store.has_left(int(self._settings.alerts.reorder_ms) + LEFT_AFTER_MS)

    def _patience_ms(self) -> int:
        dues = [due for held in self._held.values() if (due := held.due()) is not None]
        wait_s = min(dues, default=float("inf")) - self._clock()
        return int(max(1, min(wait_s * 1_000 + 1, BLOCK_MS)))

    def _hold(self, results: list[Result]) -> None:
        now = self._clock()
        for result in results:
            if result.camera not in self._held:
                place = self._states.cameras.get(result.camera, CameraState()).place
                self._held[result.camera] = Reorder(self._settings.alerts.reorder_ms / 1_000, place)
            self._held[result.camera].push(result, now)

    def _settle(self) -> None:
        now = self._clock()
        for camera, held in list(self._held.items()):
            if results := held.release(now):
                state, events = self._states.cameras.get(camera, CameraState()), list[Alert]()
                for result in results:
                    state, told = observe(
                        state, result, entry_time_ns(result.id), self._settings.alerts, self._states.line.shelves
                    )
                    events += told
                state = state.model_copy(update={"place": held.place})
                self._states.keep(camera, state, events, [result.id for result in results])
            if not held:
                del self._held[camera]

    def _look(self) -> None:
        """What no result tells: cameras that fell silent, the backlog, workers that are gone."""
        now, view = self._store.now(), self._store.look()
        alerts = self._settings.alerts
        for camera in sorted((self._states.cameras.keys() | alerts.expected_cameras) - self._held.keys()):
            known = self._states.cameras.get(camera, CameraState())
            if (ending := check_forgotten(camera, known, now, alerts)) is not None:
                self._forget(camera, ending)
                continue
            quiet_ns = int(self._quiet_s(camera, known.frame) * NS)
            on_demand = camera in self._settings.cameras_on_demand
            state, events = check_silence(
                camera, known, now, now - quiet_ns, alerts, on_demand=on_demand, shelves=self._states.line.shelves
            )
            if events:
                self._states.keep(camera, state, events)
        line, events = check_line(self._states.line, view.waiting, view.workers, now, self._settings, view.evidence)
        if line != self._states.line:
            self._states.keep(LINE, line, events)
        self._metrics.open.show(self._all_alerts())

    def _all_alerts(self) -> Iterator[tuple[str, str, bool]]:
        """Every alert that there may be: its camera, its kind, whether it is open."""
        for camera, state in self._states.cameras.items():
            for kind in RULES:
                rule = state.rules.get(kind)
                yield camera, kind.value, rule is not None and rule.opened is not None
            yield camera, AlertKind.CAMERA_SILENT.value, state.silent is not None
        yield "", AlertKind.BACKLOG.value, self._states.line.backlog is not None
        yield "", AlertKind.EVIDENCE.value, self._states.line.evidence is not None
        yield "", AlertKind.WORKER_DOWN.value, False
        yield from (("", AlertKind.WORKER_DOWN.value, True) for _ in self._states.line.workers)

    def _quiet_s(self, camera: str, frame: str) -> float:
        """Seconds since the first look after the camera's latest result, by our own steady clock: Redis' may be set."""
        if camera not in self._quiet or self._quiet[camera][0] != frame:
            self._quiet[camera] = frame, self._clock()
        return self._clock() - self._quiet[camera][1]

    def _forget(self, camera: str, events: list[Alert]) -> None:
        self._states.forget(camera, events)
        self._quiet.pop(camera, None)
