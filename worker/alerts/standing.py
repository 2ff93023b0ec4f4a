"""The alerts that stand: open, told, and on no shelf. What a lamp or a screen shows of each camera."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from worker.alerts.conditions import LineState
from worker.alerts.life import OpenAlert
from worker.alerts.opened import open_alerts
from worker.alerts.policy import CameraState
from worker.alerts.shelf import is_shelved

Standing = Mapping[str, list[OpenAlert]]
"""By camera, under the empty name those of the line as a whole; a camera without any is there too."""

State = TypeVar("State", bound=BaseModel)


def standing_alerts(cameras: Mapping[str, str], line: str) -> Standing:
    """What stands by these states, oldest first.

    Args:
        cameras: each camera's state as it is kept, JSON; one that is not readable counts as none, as it does for the
            alert process.
        line: the state of the line as a whole.
    """
    whole = _parse(LineState, line)
    states: dict[str, BaseModel] = {camera: _parse(CameraState, text) for camera, text in cameras.items()}

    def stands(alert: OpenAlert) -> bool:
        return alert.told and not is_shelved(whole.shelves, alert.camera, alert.kind)

    return {
        name: sorted(filter(stands, open_alerts(state)), key=lambda alert: (alert.opened_at, alert.alert_id))
        for name, state in (states | {"": whole}).items()
    }


def _parse(kind: type[State], text: str) -> State:
    try:
        return kind.model_validate_json(text)
    except ValidationError:
        return kind()
