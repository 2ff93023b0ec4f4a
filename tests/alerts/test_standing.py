"""The alerts that stand, read from the states in Redis."""

from __future__ import annotations

from alert_results import NG, OK, result

from worker.alerts.conditions import LineState
from worker.alerts.policy import CameraState, observe
from worker.alerts.shelf import Shelf
from worker.alerts.standing import standing_alerts
from worker.settings import AlertRule, AlertSettings
from worker.types import AlertKind, Verdict

EACH = AlertSettings(anomaly=AlertRule(window=1, raise_at=1, clear_after=1))


def after(*verdicts: Verdict, camera: str = "c1", shelves: tuple[Shelf, ...] = ()) -> str:
    """The state of a camera after these verdicts."""
    state = CameraState()
    for number, verdict in enumerate(verdicts, 1):
        state, _ = observe(state, result(number, verdict, camera=camera, seq=number), number, EACH, shelves)
    return state.model_dump_json()


def kinds(cameras: dict[str, str], line: LineState | None = None) -> dict[str, list[AlertKind]]:
    standing = standing_alerts(cameras, (line or LineState()).model_dump_json())
    return {camera: [alert.kind for alert in alerts] for camera, alerts in standing.items()}


def test_every_camera_is_there_with_what_is_open_and_the_line_too() -> None:
    cameras = {"c1": after(NG), "c2": after(NG, OK)}
    assert kinds(cameras) == {"c1": [AlertKind.ANOMALY], "c2": [], "": []}


def test_what_is_shelved_does_not_stand_whenever_that_was_done() -> None:
    shelf = Shelf(camera="c1", kind=AlertKind.ANOMALY, since=0, until=1, by="Anna")
    both = {"c1": after(NG), "c2": after(NG, camera="c2")}
    assert kinds(both, LineState(shelves=(shelf,))) == {"c1": [], "c2": [AlertKind.ANOMALY], "": []}
    # And what was raised on the shelf stands once it has been told, not before
    assert kinds({"c1": after(NG, shelves=(shelf,))}) == {"c1": [], "": []}


def test_a_state_that_nobody_can_read_counts_as_none() -> None:
    standing = standing_alerts({"c1": "{", "c2": "", "c3": after(NG)}, "no JSON")
    assert {camera: len(alerts) for camera, alerts in standing.items()} == {"c1": 0, "c2": 0, "c3": 1, "": 0}
