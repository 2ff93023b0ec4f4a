"""What every sink is: a callable for one alert."""

from __future__ import annotations

from collections.abc import Callable

from worker.errors import LineError
from worker.types import Alert

Sink = Callable[[Alert], None]
"""Delivers one alert. Whatever it raises means: not delivered, call again later with the same alert."""


class DeliveryError(LineError):
    """The receiver did not take the alert."""


class RefusedError(DeliveryError):
    """The receiver understood this alert and will never take it: calling again cannot help."""
