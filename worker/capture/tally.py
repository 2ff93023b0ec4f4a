"""What a producer did so far, counted by kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Literal, get_args

Count = Literal[
    "published",  # frames that entered the stream
    "dropped",  # frames that the queue's policy refused
    "evicted",  # older frames that made room for ours (policy drop-oldest)
    "skipped",  # pictures of a live camera that a newer one replaced before it was this producer's turn
    "refused",  # frames too large for the queue at any time
    "unreadable",  # files that could not be read at all
    "unsent",  # frames in hand when the producer was stopped
    "outages",  # times that the camera went away
    "stream_outages",  # times that Redis went away
    "bytes",  # image bytes that entered the stream
]
COUNTS: tuple[Count, ...] = get_args(Count)


def _ignore(_what: Count, _amount: int) -> None:
    pass


class Tally:
    """Counts of one producer. Each kind is added to by one thread only, so no lock is needed.

    `on_count` is called with (kind, amount) at every addition, from the thread that counts: a metric hooks in
    here.
    """

    def __init__(self, on_count: Callable[[Count, int], None] = _ignore) -> None:
        self._counts: Counter[Count] = Counter()
        self._on_count = on_count

    def add(self, what: Count, amount: int = 1) -> None:
        """Count `amount` more of `what`."""
        self._counts[what] += amount
        self._on_count(what, amount)

    def __getitem__(self, what: Count) -> int:
        return self._counts[what]

    def summarize(self) -> dict[str, int]:
        """All counts by name, zeros included, in a fixed order."""
        return {what: self._counts[what] for what in COUNTS}
