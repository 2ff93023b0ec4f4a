"""Answers that are not a verdict, all of one shape."""

from __future__ import annotations

import json
import uuid
from typing import Any

from starlette.responses import Response

from worker.gateway.failures import Failure


def new_log_id() -> str:
    """A name for a request that has none."""
    return str(uuid.uuid4())


def failed(failure: Failure, log_id: str | None = None) -> Response:
    """The answer to a request that came to nothing."""
    return _answer(failure.status, log_id, failure.status, failure.message, headers=failure.headers)


def succeeded(message: str, log_id: str | None = None, **more: Any) -> Response:
    """The answer to a request that is no request for a verdict."""
    return _answer(200, log_id, 0, message, more)


def _answer(
    status: int,
    log_id: str | None,
    code: int,
    message: str,
    more: dict[str, Any] | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    body = {"logId": log_id or new_log_id(), "errorCode": code, "errorMsg": message, **(more or {})}
    text = json.dumps(body, separators=(",", ":"))
    return Response(text, status, headers=headers, media_type="application/json")
