"""What is below `/alerts`: what is open on the line, and people's orders for the alert process."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, TypeVar

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from worker.errors import LineError, NoSuchAlert, StreamUnavailable
from worker.gateway.access.check import Access
from worker.gateway.body import read_body
from worker.gateway.document.alert_schemas import (
    MOST_EVENTS,
    AcknowledgeRequest,
    Meant,
    ShelveRequest,
    UnshelveRequest,
)
from worker.gateway.document.schemas import parse
from worker.gateway.failures import Failure
from worker.gateway.line.lookout import Lookout
from worker.gateway.replying import failed, succeeded
from worker.gateway.room import Room
from worker.orders import SHELF_S, Scope, Shelve
from worker.runtime.alert_desk import CARRIED_OUT_WITHIN_S, LOOK_AGAIN_S, AlertDesk
from worker.settings import Settings
from worker.stream.connection import connect
from worker.stream.fields import alert_from_fields
from worker.stream.keys import LineKeys
from worker.stream.tail import last_entries
from worker.types import Alert

log = structlog.get_logger()

_MOST_BODY_BYTES = 2**16
_MOST_AT_ONCE = 32
_THREADS = 2
_LAST = 50
_NOBODY = "http"  # who has neither a name nor an address, as on a socket of this machine

Done = TypeVar("Done")
Ask = TypeVar("Ask", bound=Meant)


class Alerts:
    """Answers requests below `/alerts`; what asks Redis runs in threads of its own."""

    def __init__(self, settings: Settings, lookout: Lookout, access: Access, room: Room) -> None:
        self._timeout_s = settings.gateway.timeout_s
        self._lookout = lookout
        self._access = access
        self._room = room
        self._client = connect(settings)
        self._keys = LineKeys(settings.line)
        self._desk = AlertDesk(self._client, self._keys)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="alerts")
        self._in_hand = 0

    def close(self) -> None:
        """Ask Redis no more."""
        self._threads.shutdown(cancel_futures=True)
        self._client.close()

    async def overview(self, request: Request) -> Response:
        """What is open and what is shelved."""

        async def shown(_who: str) -> Response:
            seen = await self._ask(self._desk.look)
            shelves = [shelf.model_dump(mode="json") for shelf in seen.shelves]
            alerts = [_camel(asdict(alert)) for alert in seen.alerts]
            return succeeded("Success", result={"at": seen.at, "alerts": alerts, "shelves": shelves})

        return await self._answer(request, shown)

    async def events(self, request: Request) -> Response:
        """The newest events."""

        async def shown(_who: str) -> Response:
            last = _count(request)
            found = await self._ask(lambda: last_entries(self._client, self._keys.alerts, alert_from_fields, last))
            return succeeded("Success", result={"events": [_event(event) for event in found]})

        return await self._answer(request, shown)

    async def acknowledge(self, request: Request) -> Response:
        """Somebody has alerts in hand."""

        def give(asked: AcknowledgeRequest, by: str) -> list[str]:
            if asked.alertId and (asked.camera or asked.kind or asked.all):
                raise Failure(422, "name an alert by its id, or say which are meant by camera, kind or all")
            return self._desk.acknowledge(asked.alertId or _scope(asked), by, asked.note or "")

        return await self._order(request, AcknowledgeRequest, give)

    async def shelve(self, request: Request) -> Response:
        """Alerts are put aside."""

        def give(asked: ShelveRequest, by: str) -> list[str]:
            scope, seconds = _scope(asked), asked.seconds or SHELF_S
            order = Shelve(camera=scope.camera, kind=scope.kind, seconds=seconds, by=by, note=asked.note or "")
            return self._desk.give([order])

        return await self._order(request, ShelveRequest, give)

    async def unshelve(self, request: Request) -> Response:
        """A shelf ends."""

        def give(asked: UnshelveRequest, by: str) -> list[str]:
            scope = _scope(asked)
            return self._desk.unshelve([] if asked.all else [scope], by)

        return await self._order(request, UnshelveRequest, give)

    async def _order(self, request: Request, kind: type[Ask], give: Callable[[Ask, str], list[str]]) -> Response:
        async def ordered(who: str) -> Response:
            with self._room.held() as held:
                body = await read_body(request, held, _MOST_BODY_BYTES, self._timeout_s, "no order needs")
                asked = parse(kind, body)
            try:
                orders = await self._ask(lambda: give(asked, asked.by or who or _NOBODY))
                carried_out = await self._carried_out(orders)
            except Failure as failure:
                failure.log_id = asked.logId or ""
                raise
            return succeeded("Success", asked.logId, result={"orders": len(orders), "carriedOut": carried_out})

        return await self._answer(request, ordered)

    async def _answer(self, request: Request, answer: Callable[[str], Awaitable[Response]]) -> Response:
        """What `answer` gives to whoever may ask, or why it does not."""
        try:
            who = self._access.check(request)
            with self._place():
                return await answer(who)
        except Failure as failure:
            return failed(failure, failure.log_id or None)
        except ClientDisconnect:
            return Response(status_code=499)  # to nobody; the number is for the metrics

    @contextmanager
    def _place(self) -> Iterator[None]:
        if self._in_hand >= _MOST_AT_ONCE:
            raise Failure(429, f"{self._in_hand} requests below /alerts are in hand already", 1)
        self._in_hand += 1
        try:
            yield
        finally:
            self._in_hand -= 1

    async def _carried_out(self, orders: Sequence[str]) -> bool:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + CARRIED_OUT_WITHIN_S
        while await self._ask(lambda: self._desk.waiting(orders)):
            if loop.time() > deadline:
                return False
            await asyncio.sleep(LOOK_AGAIN_S)
        return True

    async def _ask(self, question: Callable[[], Done]) -> Done:
        """What Redis says, asked in another thread: the event loop never waits for it."""
        state = self._lookout.state
        if not state.redis:
            raise Failure(503, state.problem, 1)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await asyncio.get_running_loop().run_in_executor(self._threads, question)
        except TimeoutError:
            raise Failure(503, f"Redis did not answer within {self._timeout_s:g} s (gateway.timeout_s)", 1) from None
        except NoSuchAlert as error:
            raise Failure(404, str(error)) from error
        except StreamUnavailable as error:
            raise Failure(503, str(error), 1) from error
        except LineError as error:
            log.error("alerts cannot be attended to", error=str(error))
            raise Failure(503, f"the service cannot attend to alerts: {error}") from error


def _scope(asked: Meant) -> Scope:
    if bool(asked.camera or asked.kind) == bool(asked.all):
        raise Failure(422, "say which alerts are meant: camera, kind or both, or all")
    return Scope(camera=asked.camera or "", kind=asked.kind or "")


def _count(request: Request) -> int:
    given = request.query_params.getlist("last")
    if not given:
        return _LAST
    if len(given) > 1 or not given[0].isascii() or not given[0].isdigit() or not 1 <= int(given[0][:9]) <= MOST_EVENTS:
        raise Failure(422, f"last: must be a number from 1 to {MOST_EVENTS:,}")
    return int(given[0])


def _camel(fields: dict[str, Any]) -> dict[str, Any]:
    """`opened_at` as `openedAt`."""
    named = {}
    for name, value in fields.items():
        first, *others = name.split("_")
        named[first + "".join(map(str.title, others))] = value
    return named


def _event(alert: Alert) -> dict[str, Any]:
    known = alert.score is not None and math.isfinite(alert.score)  # JSON has no word for what is no number
    return _camel(asdict(alert)) | {"score": alert.score if known else None}
