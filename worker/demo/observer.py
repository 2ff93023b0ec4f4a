"""What the demo sees as a plain subscriber: results against the known truth, latencies, alerts."""

from __future__ import annotations

import statistics
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from worker.capture.generated import GOOD, GeneratedLine
from worker.errors import StreamUnavailable
from worker.settings import Settings
from worker.stream.connection import connect
from worker.stream.fields import alert_from_fields, entry_time_ns, result_from_fields
from worker.stream.keys import LineKeys
from worker.stream.tail import Tail
from worker.types import Alert, AlertState, Result, Verdict

_RECENT_S = 5.0
Entry = TypeVar("Entry")


def percentile(values: list[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the values lie; 0 where there are none."""
    if len(values) < 2:
        return values[0] if values else 0.0
    return statistics.quantiles(values, n=1000, method="inclusive")[min(998, round(share * 1000) - 1)]


@dataclass
class CameraTally:
    """One camera's results so far. Latencies are ms from publish to verdict."""

    verdicts: dict[str, int] = field(default_factory=lambda: {verdict.value: 0 for verdict in Verdict})
    truth: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("tp", "fp", "fn", "tn"), 0))
    latencies_ms: list[float] = field(default_factory=list)
    recent: deque[float] = field(default_factory=deque)
    """Monotonic seconds of the last results."""

    @property
    def fps(self) -> float:
        """Results a second over the last few seconds."""
        now = time.monotonic()
        while self.recent and self.recent[0] < now - _RECENT_S:
            self.recent.popleft()
        return len(self.recent) / _RECENT_S


class Observer:
    """Follows results and alerts in two threads until closed; `lines` are the generated cameras by name."""

    def __init__(self, settings: Settings, lines: dict[str, GeneratedLine]) -> None:
        self.cameras = {name: CameraTally() for name in lines}
        self.alerts: list[Alert] = []
        self.first_result_at = 0.0
        self.last_result_at = 0.0
        self._lines = lines
        self._settings = settings
        self._keys = LineKeys(settings.line)
        self._stop = threading.Event()
        feeds = (
            partial(self._follow, self._keys.results, result_from_fields, self._see),
            partial(self._follow, self._keys.alerts, alert_from_fields, self.alerts.append),
        )
        self._threads = [threading.Thread(target=feed, daemon=True) for feed in feeds]
        for thread in self._threads:
            thread.start()

    def alert_count(self, state: AlertState) -> int:
        """Alert events with this state so far."""
        return sum(alert.state is state for alert in list(self.alerts))

    def close(self) -> None:
        """Stop following."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _follow(self, stream: str, decode: Callable[[str, list[bytes]], Entry], see: Callable[[Entry], None]) -> None:
        tail = Tail(connect(self._settings), stream, decode, "0-0")
        while not self._stop.is_set():
            try:
                for entry in tail.read():
                    see(entry)
            except StreamUnavailable:
                self._stop.wait(0.5)

    def _see(self, result: Result) -> None:
        now = time.monotonic()
        self.first_result_at = self.first_result_at or now
        self.last_result_at = now
        tally = self.cameras.get(result.camera)
        if tally is None:  # another client joined with a camera of its own: its truth is not known
            tally = self.cameras.setdefault(result.camera, CameraTally())
        tally.verdicts[result.verdict.value] += 1
        tally.recent.append(now)
        tally.latencies_ms.append((entry_time_ns(result.id) - result.published_at) / 1e6)
        line = self._lines.get(result.camera)
        if line is not None and result.seq is not None and result.verdict in (Verdict.OK, Verdict.NG):
            tally.truth[_outcome(line.kind(result.seq) != GOOD, result.verdict is Verdict.NG)] += 1


def _outcome(defective: bool, rejected: bool) -> str:
    if defective:
        return "tp" if rejected else "fn"
    return "fp" if rejected else "tn"
