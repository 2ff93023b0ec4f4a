"""The operations below `/alerts` in the OpenAPI document."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from worker.gateway.document.alert_schemas import (
    MOST_EVENTS,
    AcknowledgeRequest,
    EventsResponse,
    OrderedResponse,
    OverviewResponse,
    ShelveRequest,
    UnshelveRequest,
)
from worker.gateway.document.examples import LOG_ID
from worker.gateway.document.operation import JSON, answer, failure

ALERTS = "/alerts"
EVENTS = "/alerts/events"
ACKNOWLEDGE = "/alerts/acknowledge"
SHELVE = "/alerts/shelve"
UNSHELVE = "/alerts/unshelve"

Shown = dict[str, dict[str, Any]]

_ALERT_ID = "left:anomaly:1767225600000-0"
_OPENED_AT = 1_767_225_600_000_000_000
_ALERT = {
    "alertId": _ALERT_ID, "camera": "left", "kind": "anomaly", "severity": "critical", "openedAt": _OPENED_AT,
    "count": 3, "message": "left: 3 of the last 5 results are NG (score 0.0183, threshold 0.01)",
    "acknowledgedAt": _OPENED_AT + 60_000_000_000, "acknowledgedBy": "anna", "note": "lens is dirty", "shelvedUntil": 0,
}  # fmt: skip
_SHELF = {
    "camera": "right", "kind": "", "since": _OPENED_AT, "until": _OPENED_AT + 7_200_000_000_000, "by": "anna",
    "note": "lens is being changed",
}  # fmt: skip
_EVENT = {
    "id": "1767225600123-0", "alertId": _ALERT_ID, "camera": "left", "kind": "anomaly", "state": "raised",
    "severity": "critical", "openedAt": _OPENED_AT, "at": _OPENED_AT, "frame": "1767225600000-0", "score": 0.0183,
    "count": 3, "message": _ALERT["message"], "model": "tiles-v2", "by": "", "note": "", "shelved": False,
}  # fmt: skip

_ACKNOWLEDGE: Shown = {
    "one": {"summary": "One alert", "value": {"alertId": _ALERT_ID, "by": "anna", "note": "lens is dirty"}},
    "camera": {"summary": "All that is open of a camera", "value": {"camera": "left", "by": "anna"}},
}
_SHELVE: Shown = {
    "camera": {
        "summary": "A camera for two hours",
        "value": {"camera": "right", "seconds": 7_200, "by": "anna", "note": "lens is being changed"},
    },
    "kind": {"summary": "A kind, for a shift", "value": {"kind": "backlog", "by": "anna", "logId": LOG_ID}},
}
_UNSHELVE: Shown = {
    "one": {"summary": "That of a camera", "value": {"camera": "right", "by": "anna"}},
    "all": {"summary": "Every shelf", "value": {"all": True}},
}

_FAILURES: dict[int, tuple[str, dict[str, str]]] = {
    404: (
        "No such alert is open, or no such shelf is there.",
        {"not open": f"there is no open alert 'left:anomaly:1-0'; open are: {_ALERT_ID}"},
    ),
    408: (
        "The request's body did not come in time.",
        {"slow": "the request's body did not come within 30 s (gateway.timeout_s)"},
    ),
    413: ("The body is too large.", {"bytes": "the request's body is larger than 65,536 bytes, which no order needs"}),
    415: (
        "The body is not said to be JSON.",
        {"no JSON": "the body must be JSON, with Content-Type: application/json; it is 'text/plain'"},
    ),
    422: (
        "A field is missing, wrong or not known.",
        {
            "nothing": "say which alerts are meant: camera, kind or both, or all",
            "field": "camra: Extra inputs are not permitted",
        },
    ),
    429: (
        "A client asks too often, or too many wait.",
        {
            "rate": "too many requests: gateway.rate_per_s and gateway.rate_burst limit them",
            "waiting": "32 requests below /alerts are in hand already",
        },
    ),
    503: (
        "Redis is away.",
        {"no Redis": "Redis cannot be reached: Connection refused. Is it running? See redis.url"},
    ),
}


class AlertOperations:
    """Arguments for FastAPI's routes, by operation. `keys` and `security` say what a client must show."""

    def __init__(self, keys: dict[int | str, dict[str, Any]], security: dict[str, Any]) -> None:
        self._keys = keys
        self._security = security
        seen = {"at": _OPENED_AT, "alerts": [_ALERT], "shelves": [_SHELF]}
        self.overview = self._reading("alerts", "What is open and what is shelved", OverviewResponse, seen, [])
        last = {
            "name": "last",
            "in": "query",
            "description": "How many, from the newest back.",
            "schema": {"type": "integer", "minimum": 1, "maximum": MOST_EVENTS, "default": 50},
        }
        self.events = self._reading("alertEvents", "The newest events", EventsResponse, {"events": [_EVENT]}, [last])
        self.acknowledge = self._ordering(
            "acknowledgeAlerts", "Acknowledge alerts", AcknowledgeRequest, _ACKNOWLEDGE,
            "Somebody has them in hand: no more updates of them are sent, only their end.",
        )  # fmt: skip
        self.shelve = self._ordering(
            "shelveAlerts", "Shelve alerts", ShelveRequest, _SHELVE,
            "For a time they go to no sink; what is still open at its end is told then.",
        )  # fmt: skip
        self.unshelve = self._ordering(
            "unshelveAlerts", "End a shelf", UnshelveRequest, _UNSHELVE,
            "What it hides and is still open is told now.",
        )  # fmt: skip

    def _reading(
        self, name: str, summary: str, model: type[BaseModel], shown: dict[str, Any], parameters: list[dict[str, Any]]
    ) -> dict[str, Any]:
        failures = [422, 429, 503] if parameters else [429, 503]
        return {
            "operation_id": name,
            "summary": summary,
            "responses": {200: _success(model, shown), **self._keys, **_failures(failures)},
            "openapi_extra": self._security | ({"parameters": parameters} if parameters else {}),
        }

    def _ordering(
        self, name: str, summary: str, request: type[BaseModel], shown: Shown, description: str
    ) -> dict[str, Any]:
        ordered = _success(OrderedResponse, {"orders": 1, "carriedOut": True})
        body = {"required": True, "content": {JSON: {"schema": request.model_json_schema(), "examples": shown}}}
        missing = [404] if request is not ShelveRequest else []
        return {
            "operation_id": name,
            "summary": summary,
            "description": f"{description} The answer waits a few seconds until the alert process has carried it out.",
            "responses": {200: ordered, **self._keys, **_failures([*missing, 408, 413, 415, 422, 429, 503])},
            "openapi_extra": self._security | {"requestBody": body},
        }


def _success(model: type[BaseModel], result: dict[str, Any]) -> dict[str, Any]:
    value = {"logId": LOG_ID, "errorCode": 0, "errorMsg": "Success", "result": result}
    return answer(model, "Done.", {"example": {"value": value}})


def _failures(statuses: list[int]) -> dict[int | str, dict[str, Any]]:
    return {status: failure(status, *_FAILURES[status]) for status in statuses}
