"""The states of the alert process, in Redis and here; each changes in one step with the events that it makes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import structlog
from pydantic import BaseModel, ValidationError

from worker.alerts.conditions import LineState
from worker.alerts.policy import CameraState
from worker.metrics import AlertMetrics
from worker.stream.alarm_states import LINE, Saved
from worker.stream.alerting import AlertStore
from worker.types import Alert

log = structlog.get_logger()

State = TypeVar("State", bound=BaseModel)


class Superseded(Exception):
    """The state in Redis is newer than ours."""


class AlertStates:
    """`cameras` by name, and that of the `line` as a whole. What finds that Redis has newer ones raises Superseded."""

    def __init__(self, store: AlertStore, metrics: AlertMetrics) -> None:
        self.cameras: dict[str, CameraState] = {}
        self.line = LineState()
        self._store = store
        self._metrics = metrics
        self._versions: dict[str, int] = {}

    def all(self) -> list[tuple[str, CameraState | LineState]]:
        """Each with its name."""
        return [*self.cameras.items(), (LINE, self.line)]

    def load(self) -> None:
        """Take what stands in Redis."""
        saved = self._store.load()
        self._versions = {name: state.version for name, state in saved.items()}
        self.line = _taken(LineState, LINE, saved.pop(LINE, Saved()))
        self.cameras = {camera: _taken(CameraState, camera, state) for camera, state in saved.items()}

    def keep(self, name: str, state: CameraState | LineState, events: list[Alert], settled: Sequence[str] = ()) -> None:
        """A new state of a camera, or of `LINE`, with its events and the ids of the results that it comes from."""
        self._commit(name, state.model_dump_json(), events, settled)
        if isinstance(state, LineState):
            self.line = state
        else:
            self.cameras[name] = state

    def forget(self, camera: str, events: list[Alert]) -> None:
        """Keep nothing of this camera any more."""
        self._commit(camera, "", events)
        del self.cameras[camera], self._versions[camera]

    def check_line(self) -> None:
        """Raise Superseded where another process has changed the line's state."""
        if self._store.load_version(LINE) != self._versions.get(LINE, 0):
            raise Superseded

    def _commit(self, name: str, text: str, events: list[Alert], settled: Sequence[str] = ()) -> None:
        version = self._versions.get(name, 0)
        if self._store.commit(name, Saved(version, text), settled, events) is None:
            raise Superseded
        self._versions[name] = version + 1
        for event in events:
            camera = self._metrics.camera_label(event.camera)
            self._metrics.events.labels(camera, event.kind.value, event.state.value).inc()


def parse_state(kind: type[State], saved: Saved) -> State | None:
    """The state in this text, a fresh one where there is no text; None where it cannot be read."""
    try:
        return kind.model_validate_json(saved.text) if saved.text else kind()
    except ValidationError:
        return None


def _taken(kind: type[State], name: str, saved: Saved) -> State:
    state = parse_state(kind, saved)
    if state is None:
        log.warning("saved alert state is not readable, starting afresh", name=name)
        return kind()
    return state
