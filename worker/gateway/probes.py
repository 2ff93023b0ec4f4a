"""What those who watch over the service ask: whether it lives, whether it would serve, and its numbers."""

from __future__ import annotations

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response

from worker.gateway.access.check import Access
from worker.gateway.failures import Failure
from worker.gateway.line.lookout import Lookout
from worker.gateway.replying import failed, succeeded

METRICS_TYPE = CONTENT_TYPE_LATEST


class Probes:
    """`/health`, `/ready` and `/metrics`.

    The first two ask for no key: whoever restarts and routes has none, and what they tell is no secret. The numbers do,
    where keys are asked for. The line's own are the workers' to tell.
    """

    def __init__(self, lookout: Lookout, access: Access, registry: CollectorRegistry) -> None:
        self._lookout = lookout
        self._access = access
        self._registry = registry

    async def health(self) -> Response:
        """The process lives and answers."""
        return succeeded("Healthy")

    async def ready(self) -> Response:
        """Whether a picture would be inspected now, as of the last second."""
        state = self._lookout.state
        if state.problem:
            return failed(Failure(503, state.problem, 1))
        return succeeded("Ready", result={"workers": state.workers, "model": state.model or None})

    async def metrics(self, request: Request) -> Response:
        """Prometheus' text format."""
        try:
            self._access.check_key(request)
        except Failure as failure:
            return failed(failure)
        return Response(generate_latest(self._registry), headers={"Content-Type": METRICS_TYPE})
