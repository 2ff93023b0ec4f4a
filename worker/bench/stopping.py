"""Waiting that ends when the benchmark is asked to."""

from __future__ import annotations

import threading


def pause(stop: threading.Event, seconds: float) -> None:
    """Sleep, unless asked to stop.

    Raises:
        KeyboardInterrupt: `stop` is set; on its way out it ends what was started.
    """
    if stop.wait(seconds):
        raise KeyboardInterrupt
