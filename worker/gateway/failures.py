"""Why a request has no verdict: each reason with its HTTP status, which is also the `errorCode` of the answer."""

from __future__ import annotations

import math

from worker.errors import FrameError
from worker.stream.replies import DeadReply
from worker.types import Result, Verdict

# By the reason of the dead letter; what is not here is something about the fields or the picture that the client can
# mend: 422.
_STATUS = {
    "too_large": 413,
    "not_an_image": 415,
    "unsupported": 415,
    "unknown_encoding": 415,
    "encoding_mismatch": 415,
    "clock_skew": 503,
    "max_attempts": 503,
}


class Failure(Exception):
    """The answer is an error.

    Args:
        status: of HTTP.
        message: for people: what is wrong and what to do.
        retry_after_s: when it is worth another try; None: not told.
    """

    def __init__(self, status: int, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.log_id = ""
        """The request's, where it had one."""
        self.headers: dict[str, str] = {}
        if retry_after_s is not None:
            self.headers["Retry-After"] = str(max(1, math.ceil(retry_after_s)))
        if status == 401:
            self.headers["WWW-Authenticate"] = "Bearer"


def of_frame_error(error: FrameError) -> Failure:
    """A frame that no worker would take, as it is noticed here."""
    return _of_reason(error.reason, str(error))


def of_dead_letter(reply: DeadReply) -> Failure:
    """A frame that a worker could not inspect."""
    return _of_reason(reply.reason, f"{reply.error} (frame {reply.frame} is kept as a dead letter)")


def of_result(result: Result) -> Failure | None:
    """None where the result says OK or NG: anything else is no verdict on the part, and must not be taken for one."""
    if result.verdict is Verdict.INVALID:
        return Failure(422, f"INVALID: {result.reason} (frame {result.frame})")
    if result.verdict is Verdict.LATE:
        return Failure(504, f"LATE: {result.reason} (frame {result.frame})")
    return None


def _of_reason(reason: str, what: str) -> Failure:
    return Failure(_STATUS.get(reason, 422), f"{reason}: {what}")
