"""An alert event as the programs that subscribe get it."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from worker.types import Alert


def payload(alert: Alert) -> dict[str, Any]:
    """The fields of its entry, fit for JSON; times are unix nanoseconds, `id` is the entry's own."""
    fields = asdict(alert)
    if alert.score is not None and not math.isfinite(alert.score):
        fields["score"] = None  # JSON has no such number
    return fields
