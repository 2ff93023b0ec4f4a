"""What every sink is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from worker.types import Alert


class Sink(Protocol):
    """Brings alert events to people or programs; used by one thread."""

    def deliver(self, alerts: Sequence[Alert], key: str) -> None:
        """Deliver events as one message, and return when the other side has taken it.

        Args:
            alerts: mostly one; in a storm several, in the order in which they happened.
            key: the same at each try of the same message, whichever process makes it: its idempotency key.

        Raises:
            RefusedError: the other side does not want this message and never will.
            Exception: whatever else means: not delivered, call again later with the same message.
        """
        ...

    def close(self) -> None:
        """Let go of connections; the sink is not used any more."""
        ...
