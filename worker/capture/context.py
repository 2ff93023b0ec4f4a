"""What a source and its producer share."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import structlog

from worker.capture.pace import Clock, SystemClock
from worker.capture.tally import Tally

Log = structlog.typing.FilteringBoundLogger


@dataclass(frozen=True, slots=True)
class Context:
    """One producer's surroundings, handed to its source and its loop alike.

    `stop` ends both when set; `tally` takes the counts of both; `log` bears the camera's name.
    """

    stop: threading.Event = field(default_factory=threading.Event)
    tally: Tally = field(default_factory=Tally)
    clock: Clock = field(default_factory=SystemClock)
    log: Log = field(default_factory=structlog.get_logger)
