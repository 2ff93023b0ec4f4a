"""What every sink is: a callable for one alert."""

from __future__ import annotations

from collections.abc import Callable

from worker.types import Alert

Sink = Callable[[Alert], None]
"""Delivers one alert. Whatever it raises means: not delivered, call again later with the same alert."""
