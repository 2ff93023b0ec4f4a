"""What every sink is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from worker.types import Alert


class Sink(Protocol):
    """Brings alert events to people or programs; used by one thread.

    `limited`: whether it is spared in a storm, where many events become one message; what keeps the state of each
    camera, or costs nobody's attention, is not.
    """

    limited: bool

    def open(self) -> None:
        """From here on this process delivers to the other side, until `close`; once more changes nothing."""
        ...

    def deliver(self, alerts: Sequence[Alert], key: str) -> None:
        """Deliver events as one message, and return when the other side has taken it.

        Args:
            alerts: mostly one; in a storm several, in the order in which they happened.
            key: the same at each try of the same message, whichever process makes it: its idempotency key.

        Raises:
            RefusedError: the other side does not want this message and never will.
            UnreachableError: it takes none for now, whichever: nothing more is to be tried before this one.
            Exception: whatever else means: this one is not delivered, call again later with the same message.
        """
        ...

    def close(self) -> None:
        """This process delivers no more: let go of connections; `open` may follow, and need not have come before."""
        ...
