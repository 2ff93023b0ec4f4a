"""The real alert process of the line `test`, with the sinks that a test wants."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from system.running import RunningLine

EACH = {f"alerts__anomaly__{name}": 1 for name in ("window", "raise_at", "clear_after")}
"""Each NG raises an alert, each OK clears it."""


@contextmanager
def alert_process(folder: Path, redis_url: str, sink: str, **settings: object) -> Iterator[RunningLine]:
    """`line-worker alerts` under the name `alerts`, with these settings of a sink."""
    mine = {f"alerts__{sink}__{name}": value for name, value in settings.items()}
    with RunningLine(redis_url, folder, **EACH, **mine) as running:
        running.start("alerts", "alerts")
        yield running
