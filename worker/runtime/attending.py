"""What people order of alerts, carried out by the alert process, the only one that changes their states."""

from __future__ import annotations

import structlog

from worker.alerts.conditions import LineState
from worker.alerts.opened import acknowledge, tell_unshelved
from worker.alerts.policy import CameraState
from worker.alerts.shelf import Shelves, in_force, shelve, unshelve
from worker.errors import LineError, StreamUnavailable
from worker.orders import Acknowledge, Scope, Shelve
from worker.runtime.alert_states import AlertStates
from worker.stream.alarm_states import LINE
from worker.stream.alerting import AlertStore
from worker.stream.orders import PAGE, GivenOrder

log = structlog.get_logger()


class Attending:
    """Acknowledges, shelves, ends shelves, and tells what was hidden until then."""

    def __init__(self, store: AlertStore, states: AlertStates) -> None:
        self._store = store
        self._states = states
        # The shelves under which all that may be told has been told; None: not known.
        self._told_under: Shelves | None = None
        self._problem = ""

    def begin(self) -> None:
        """The states have been read anew."""
        self._told_under = None

    def attend(self) -> bool:
        """Carry out the orders that wait, a page at most, and end what is over. Whether more may wait.

        An order is taken off after the step that it is: carried out once more, since the process died there, it
        changes nothing.
        """
        self._states.check_line()  # another process may have other shelves
        now, given = self._store.now(), self._orders()
        for one in given:
            self._carry_out(one, now)
            self._store.orders.take_off(one.id)
        self._change_shelves(in_force(self._states.line.shelves, now), "a shelf is over")
        if self._states.line.shelves != self._told_under:
            self._tell(now)
            self._told_under = self._states.line.shelves
        return len(given) == PAGE

    def _orders(self) -> list[GivenOrder]:
        """Those that wait. Anybody may write there: alerts go on also where it cannot be read."""
        problem, given = "", list[GivenOrder]()
        try:
            given = self._store.orders.read()
        except StreamUnavailable:
            raise
        except LineError as error:
            problem = str(error)
        if problem and problem != self._problem:
            log.error("orders cannot be read: nothing is acknowledged or shelved", error=problem)
        self._problem = problem
        return given

    def _carry_out(self, given: GivenOrder, now: int) -> None:
        """What comes to nothing is logged: whoever gave the order looks at the states."""
        order, shelves = given.order, self._states.line.shelves
        if isinstance(order, Acknowledge):
            self._acknowledge(order, now)
        elif isinstance(order, Shelve):
            try:
                self._change_shelves(shelve(shelves, order, given.at, now), "shelved", order, by=order.by)
            except ValueError as error:
                log.warning("an order to shelve is refused", what=str(order), by=order.by, error=str(error))
        else:
            self._change_shelves(unshelve(shelves, order), "a shelf was ended", order, by=order.by)

    def _acknowledge(self, order: Acknowledge, now: int) -> None:
        for name, known in self._where_it_may_be(order.alert_id):
            state, events = acknowledge(known, order, now)
            if events:
                self._states.keep(name, state, events)
                log.info("alert acknowledged", alert_id=order.alert_id, by=order.by)
                return
        log.info("an alert to acknowledge is not open, or was acknowledged", alert_id=order.alert_id, by=order.by)

    def _where_it_may_be(self, alert_id: str) -> list[tuple[str, CameraState | LineState]]:
        """Its id begins with its camera, or with `line`, as a camera may be called too."""
        camera = alert_id.partition(":")[0]
        cameras = self._states.cameras
        return [*([(camera, cameras[camera])] if camera in cameras else []), (LINE, self._states.line)]

    def _change_shelves(self, shelves: Shelves, event: str, *scopes: Scope, **who: str) -> None:
        line = self._states.line
        if shelves == line.shelves:
            return
        self._states.keep(LINE, line.model_copy(update={"shelves": shelves}), [])
        for scope in scopes or [shelf for shelf in line.shelves if shelf not in shelves]:
            log.info(event, what=str(scope), **who)

    def _tell(self, now: int) -> None:
        for name, known in self._states.all():
            state, events = tell_unshelved(known, now, self._states.line.shelves)
            if events:
                self._states.keep(name, state, events)
