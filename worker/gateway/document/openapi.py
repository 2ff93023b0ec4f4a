"""The OpenAPI document: what each path takes and gives, with examples, for the service as it is set up."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from starlette.responses import PlainTextResponse

from worker.gateway.document import examples
from worker.gateway.document.alert_operations import AlertOperations
from worker.gateway.document.operation import JSON, answer, failure
from worker.gateway.document.schemas import HealthResponse, InspectRequest, InspectResponse, ReadyResponse
from worker.settings import Settings

ENDPOINT = "/image-anomaly-detection"

DESCRIPTION = """Inspects pictures of parts: each request becomes a frame on a line and waits for its verdict.

Requests and answers are those of PaddleX's image anomaly detection service, with more fields that may be left out.
`errorCode` is 0, or the HTTP status; `errorMsg` says what is wrong. An answer of 200 means that the picture was
inspected, in time, and could be trusted; anything else is no verdict on the part.

Below `/alerts` it shows what is open on the line, and takes orders for the alert process."""

_MEANINGS = {
    401: "An API key is needed.",
    403: "The API key is not known.",
    408: "The request's body did not come in time.",
    413: "The picture or the body is too large.",
    415: "The body is not said to be JSON, or holds no picture of a kind that is inspected.",
    422: "A field is missing or wrong, the picture is damaged, or it may not be trusted: then the message begins with "
    "INVALID.",
    429: "The line is full, too many requests wait, or a client asks too often.",
    503: "Nothing is inspected now: Redis is away or there is no worker.",
    504: "There was no verdict by the deadline.",
}
_KEY_SCHEMES = {
    "ApiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "Bearer": {"type": "http", "scheme": "bearer"},
}


class Operations:
    """Arguments for FastAPI's routes, by operation."""

    def __init__(self, settings: Settings) -> None:
        self._asks_for_keys = settings.gateway.keys_file is not None
        keys = [401, 403] if self._asks_for_keys else []
        security: dict[str, Any] = {"security": [{name: []} for name in _KEY_SCHEMES]} if self._asks_for_keys else {}
        self.inspect: dict[str, Any] = {
            "operation_id": "infer",
            "summary": "Inspect a picture",
            "description": "Waits for the verdict on a picture.",
            "responses": {
                200: answer(InspectResponse, "The verdict.", examples.ANSWERS),
                **_failures([*keys, 408, 413, 415, 422, 429, 503, 504]),
            },
            "openapi_extra": {**security, "requestBody": _request_body(settings)},
        }
        self.health: dict[str, Any] = {
            "operation_id": "checkHealth",
            "summary": "Whether the service is alive",
            "responses": {200: answer(HealthResponse, "It is.", {"alive": {"value": examples.HEALTHY}})},
        }
        self.ready: dict[str, Any] = {
            "operation_id": "checkReady",
            "summary": "Whether pictures are inspected now",
            "description": "Redis answers, and a worker, which has its model loaded, was seen in the last seconds.",
            "responses": {
                200: answer(ReadyResponse, "They are.", {"ready": {"value": examples.READY}}),
                **_failures([503]),
            },
        }
        self.metrics: dict[str, Any] = {
            "operation_id": "metrics",
            "summary": "Numbers for Prometheus",
            "response_class": PlainTextResponse,
            "responses": _failures(keys),
            "openapi_extra": security,
        }
        self.alerts = AlertOperations(_failures(keys), security)

    def complete(self, app: FastAPI) -> None:
        """Add what FastAPI does not know of."""
        if not self._asks_for_keys:
            return
        document = app.openapi()
        document.setdefault("components", {})["securitySchemes"] = _KEY_SCHEMES


def _request_body(settings: Settings) -> dict[str, Any]:
    shown = examples.REQUESTS | (examples.URL_REQUESTS if settings.gateway.urls.enabled else {})
    return {"required": True, "content": {JSON: {"schema": InspectRequest.model_json_schema(), "examples": shown}}}


def _failures(statuses: list[int]) -> dict[int | str, dict[str, Any]]:
    return {status: failure(status, _MEANINGS[status], examples.FAILURES[status]) for status in statuses}
