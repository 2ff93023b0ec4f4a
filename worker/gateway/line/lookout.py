"""Looks every second whether the line works, so that a request that nobody would serve is refused at once."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import structlog

from worker.errors import LineError
from worker.settings import Settings
from worker.stream.connection import connect
from worker.stream.keys import LineKeys
from worker.stream.seen import look_at_line

log = structlog.get_logger()

_EVERY_S = 1.0
# A worker shows up every three seconds. One that died is missed so long after; one that leaves, at once.
SEEN_WITHIN_S = 8.0


@dataclass(frozen=True, slots=True)
class LineState:
    """`problem`: why nothing is inspected now, empty where it is; `workers`: those that are there; `model`: that of the
    last result, empty where there is none."""

    redis: bool
    workers: int = 0
    model: str = ""
    problem: str = ""


class Lookout:
    """`state` is as of the last second; `start` looks once before it returns."""

    def __init__(self, settings: Settings) -> None:
        self.state = LineState(redis=False, problem="the service is starting")
        self._line = settings.line
        self._client = connect(settings)
        self._keys = LineKeys(settings.line)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lookout", daemon=True)

    def start(self) -> None:
        """Look, and go on looking."""
        self._look()
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._stop.set()
        self._thread.join()
        self._client.close()

    def _run(self) -> None:
        while not self._stop.wait(_EVERY_S):
            self._look()

    def _look(self) -> None:
        before, self.state = self.state, self._seen()
        if self.state.problem != before.problem:
            log.info("the line is looked at", problem=self.state.problem or None, workers=self.state.workers)

    def _seen(self) -> LineState:
        try:
            seen = look_at_line(self._client, self._keys, SEEN_WITHIN_S)
        except LineError as error:
            return LineState(redis=False, problem=str(error))
        except Exception as error:  # the thread goes on, or nobody would be served any more
            log.exception("the line cannot be looked at")
            return LineState(redis=False, problem=f"the line cannot be looked at: {error}")
        if not seen.workers:
            problem = (
                f"no worker has been seen on the line {self._line!r} for {SEEN_WITHIN_S:g} s: start `line-worker run`"
            )
            return LineState(redis=True, model=seen.model, problem=problem)
        return LineState(redis=True, workers=seen.workers, model=seen.model)
