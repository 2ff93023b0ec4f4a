"""Where people look at alerts and give orders for them; the alert process carries them out."""

from __future__ import annotations

from collections.abc import Sequence

from worker.alerts.conditions import LineState
from worker.alerts.overview import Overview, overview
from worker.alerts.policy import CameraState
from worker.errors import NoSuchAlert
from worker.orders import Acknowledge, Order, Scope, Unshelve
from worker.runtime.alert_states import parse_state
from worker.stream.alarm_states import LINE, Saved, load_states, server_time_ns
from worker.stream.connection import Client
from worker.stream.keys import LineKeys
from worker.stream.orders import Orders

CARRIED_OUT_WITHIN_S = 5.0
"""The alert process looks for orders twice a second: if they still wait after so long, it is away or far behind."""

LOOK_AGAIN_S = 0.1
_SHOWN = 20


class AlertDesk:
    """Reads states, writes orders and nothing else. Errors are StreamUnavailable, StreamError, and NoSuchAlert where an
    order would come to nothing."""

    def __init__(self, client: Client, keys: LineKeys) -> None:
        self._client = client
        self._keys = keys
        self._orders = Orders(client, keys)

    def look(self) -> Overview:
        """What is open and what is shelved now."""
        saved = load_states(self._client, self._keys)
        line = parse_state(LineState, saved.pop(LINE, Saved())) or LineState()
        cameras = [state for one in saved.values() if (state := parse_state(CameraState, one))]
        return overview(cameras, line, server_time_ns(self._client))

    def acknowledge(self, meant: str | Scope, by: str, note: str = "") -> list[str]:
        """Order that alerts are acknowledged: one by its id, or those of a scope that nobody has in hand.

        What is meant is fixed here, by the alerts' ids: whoever gives the order has not seen what is raised later.

        Returns:
            The ids of the orders; none where all that is meant was acknowledged before.
        """
        seen = self.look()
        found = seen.of(meant) if isinstance(meant, Scope) else [one for one in [seen.alert(meant)] if one]
        if not found:
            what = f"{meant} are not open" if isinstance(meant, Scope) else f"there is no open alert {meant[:200]!r}"
            raise NoSuchAlert(f"{what}; open are: {_listed([alert.alert_id for alert in seen.alerts])}")
        wanted = [alert.alert_id for alert in found if not alert.acknowledged_by]
        return self.give([Acknowledge(alert_id=alert_id, by=by, note=note) for alert_id in wanted])

    def unshelve(self, scopes: Sequence[Scope], by: str) -> list[str]:
        """Order that these shelves end; the ids of the orders. No scope: all."""
        seen = self.look()
        if missing := [scope for scope in scopes if seen.shelf(scope) is None]:
            raise NoSuchAlert(f"no shelf of {missing[0]}; there are: {_listed([str(one) for one in seen.shelves])}")
        ended = scopes or seen.shelves
        return self.give([Unshelve(camera=scope.camera, kind=scope.kind, by=by) for scope in ended])

    def give(self, orders: Sequence[Order]) -> list[str]:
        """Give orders; their ids."""
        return self._orders.give(orders)

    def waiting(self, order_ids: Sequence[str]) -> list[str]:
        """Those of these orders that were not carried out yet."""
        return self._orders.waiting(order_ids)


def _listed(names: Sequence[str]) -> str:
    if not names:
        return "none"
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
