"""The open alerts in a state, of whatever shape: what is done to each alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from pydantic import BaseModel

from worker.alerts.life import OpenAlert, acknowledge_alert, tell_alert
from worker.alerts.shelf import Shelves
from worker.orders import Acknowledge
from worker.types import Alert

State = TypeVar("State", bound=BaseModel)
Step = Callable[[OpenAlert], tuple[OpenAlert, list[Alert]]]


def open_alerts(value: Any) -> Iterator[OpenAlert]:
    """All that are open in a state."""
    if isinstance(value, OpenAlert):
        yield value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from open_alerts(getattr(value, name))
    elif isinstance(value, dict):
        for one in value.values():
            yield from open_alerts(one)


def acknowledge(state: State, order: Acknowledge, at: int) -> tuple[State, list[Alert]]:
    """The state with the ordered alert acknowledged, and the event; none where it is not open or was acknowledged."""

    def step(opened: OpenAlert) -> tuple[OpenAlert, list[Alert]]:
        if opened.alert_id != order.alert_id:
            return opened, []
        return acknowledge_alert(opened, at, order.by, order.note)

    return _with_each(state, step)


def tell_unshelved(state: State, at: int, shelves: Shelves) -> tuple[State, list[Alert]]:
    """The state with everything told that is on no shelf any more, and the events that tell it."""
    return _with_each(state, lambda opened: tell_alert(opened, at, shelves))


def _with_each(state: State, step: Step) -> tuple[State, list[Alert]]:
    events: list[Alert] = []

    def changed(value: Any) -> Any:
        if isinstance(value, OpenAlert):
            value, told = step(value)
            events.extend(told)
        elif isinstance(value, BaseModel):
            fields = {name: getattr(value, name) for name in type(value).model_fields}
            value = value.model_copy(update={name: changed(field) for name, field in fields.items()})
        elif isinstance(value, dict):
            value = {key: changed(one) for key, one in value.items()}
        return value

    return changed(state), events
