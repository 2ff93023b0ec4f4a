"""The HTTP service as an ASGI application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI, Request, Response
from prometheus_client import CollectorRegistry
from starlette.exceptions import HTTPException

from worker import __version__
from worker.gateway.access.check import Access
from worker.gateway.alerts import Alerts
from worker.gateway.counting import Counting
from worker.gateway.document.alert_operations import ACKNOWLEDGE, ALERTS, EVENTS, SHELVE, UNSHELVE
from worker.gateway.document.openapi import DESCRIPTION, ENDPOINT, Operations
from worker.gateway.failures import Failure
from worker.gateway.inspection import Inspection
from worker.gateway.line.client import LineClient
from worker.gateway.line.lookout import Lookout
from worker.gateway.pictures import Pictures
from worker.gateway.probes import Probes
from worker.gateway.replying import failed
from worker.gateway.room import Room
from worker.metrics import GatewayMetrics, of_line
from worker.settings import Settings

OTHERS = ("/health", "/ready", "/metrics", ALERTS, EVENTS, ACKNOWLEDGE, SHELVE, UNSHELVE)
"""Paths beside that of inspection."""


class Service:
    """All that answers requests, and what it holds open while it does.

    Raises:
        SettingsError: a file that the settings name cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        registry = CollectorRegistry()
        self.metrics = GatewayMetrics(registry)
        self._loop: asyncio.AbstractEventLoop | None = None
        access = Access(settings.gateway)
        self._lookout = Lookout(settings)
        self._line = LineClient(settings)
        self._pictures = Pictures(settings)
        room = Room(settings, self.metrics.waiting)
        self.inspection = Inspection(settings, self._line, self._lookout, access, self._pictures, room)
        self.alerts = Alerts(settings, self._lookout, access, room)
        self.probes = Probes(self._lookout, access, of_line(registry, settings.line))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """In the event loop: the threads that look, publish and read; at the end they finish."""
        self._loop = asyncio.get_running_loop()
        await asyncio.to_thread(self._lookout.start)
        self._line.start()
        try:
            yield
        finally:
            await self._line.close()
            await self._pictures.aclose()
            await asyncio.to_thread(self._lookout.close)
            self.inspection.close()
            await asyncio.to_thread(self.alerts.close)

    def give_up(self) -> None:
        """Answer now what still waits; from any thread."""
        failure = Failure(503, "the service ends; there is no verdict yet, the picture may get one", 1)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._line.give_up, failure)


def create_app(settings: Settings, service: Service) -> FastAPI:
    """The application, which starts and ends what the service needs with its own life."""

    def lifespan(_app: FastAPI) -> AbstractAsyncContextManager[None]:
        return service.running()

    app = FastAPI(
        title="line-worker",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        # Their pages load scripts from a CDN, which a plant's network has not.
        docs_url=None,
        redoc_url=None,
    )
    operations = Operations(settings)
    inspect = service.inspection.answer
    app.add_api_route(ENDPOINT, inspect, methods=["POST"], **operations.inspect)
    app.add_api_route(f"{ENDPOINT}/", inspect, methods=["POST"], include_in_schema=False)
    app.add_api_route("/health", service.probes.health, methods=["GET"], **operations.health)
    app.add_api_route("/ready", service.probes.ready, methods=["GET"], **operations.ready)
    app.add_api_route("/metrics", service.probes.metrics, methods=["GET"], **operations.metrics)
    _add_alerts(app, operations, service.alerts)
    for path, probe in (("/health", service.probes.health), ("/ready", service.probes.ready)):  # some balancers ask so
        app.add_api_route(path, probe, methods=["HEAD"], include_in_schema=False)
    app.add_exception_handler(HTTPException, _not_served)
    app.add_exception_handler(Exception, _broken)
    operations.complete(app)
    app.add_middleware(Counting, metrics=service.metrics, endpoint=ENDPOINT, others=OTHERS)
    return app


def _add_alerts(app: FastAPI, operations: Operations, alerts: Alerts) -> None:
    described = operations.alerts
    app.add_api_route(ALERTS, alerts.overview, methods=["GET"], **described.overview)
    app.add_api_route(EVENTS, alerts.events, methods=["GET"], **described.events)
    app.add_api_route(ACKNOWLEDGE, alerts.acknowledge, methods=["POST"], **described.acknowledge)
    app.add_api_route(SHELVE, alerts.shelve, methods=["POST"], **described.shelve)
    app.add_api_route(UNSHELVE, alerts.unshelve, methods=["POST"], **described.unshelve)


async def _not_served(request: Request, error: Exception) -> Response:
    """No such path, or not by this method; the headers say which there are."""
    assert isinstance(error, HTTPException)
    failure = Failure(error.status_code, _told(request, error))
    failure.headers |= error.headers or {}
    return failed(failure)


def _told(request: Request, error: HTTPException) -> str:
    if error.status_code == 404:
        there = f"POST {ENDPOINT}, GET /health, /ready, /metrics, {ALERTS}; see /openapi.json"
        return f"there is no {request.url.path[:100]!r} here; there are {there}"
    if error.status_code == 405:
        return f"{request.method} is not allowed here; see the header Allow"
    return str(error.detail)


async def _broken(_request: Request, _error: Exception) -> Response:
    """A fault of ours; the server logs it with its traceback."""
    return failed(Failure(500, "the service failed on this request; its log says why"))
