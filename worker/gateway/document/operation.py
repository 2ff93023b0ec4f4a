"""The pieces of an operation in the OpenAPI document."""

from __future__ import annotations

from typing import Any

from worker.gateway.document.examples import LOG_ID
from worker.gateway.document.schemas import ErrorResponse

JSON = "application/json"

_RETRY = {
    "Retry-After": {
        "description": "Seconds until another try is worth while.",
        "schema": {"type": "string", "pattern": "^[0-9]+$"},
    }
}
_CHALLENGE = {"WWW-Authenticate": {"description": "How to show a key.", "schema": {"type": "string"}}}
_HEADERS = {401: _CHALLENGE, 429: _RETRY, 503: _RETRY}


def answer(model: type, meaning: str, shown: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """An answer of this shape, with examples."""
    return {"model": model, "description": meaning, "content": {JSON: {"examples": shown}}}


def failure(status: int, meaning: str, messages: dict[str, str]) -> dict[str, Any]:
    """An answer that says why a request came to nothing; `messages` are examples of `errorMsg`, by name."""
    shown = {
        name: {"value": {"logId": LOG_ID, "errorCode": status, "errorMsg": message}}
        for name, message in messages.items()
    }
    headers = _HEADERS.get(status)
    return answer(ErrorResponse, meaning, shown) | ({"headers": headers} if headers else {})
