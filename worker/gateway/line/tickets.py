"""Who waits for which reply. A reply may come before its publisher knows which frame it published."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Generic, TypeVar

from worker.stream.replies import Reply
from worker.types import Frame

Place = TypeVar("Place")


class Ticket(Generic[Place]):
    """One request that waits: its frame, and the place to which its reply goes."""

    __slots__ = ("deadline", "frame", "frame_id", "given_up", "place")

    def __init__(self, frame: Frame, deadline: float, place: Place) -> None:
        self.frame = frame
        self.deadline = deadline
        self.place = place
        self.frame_id = ""
        self.given_up = False


class Tickets(Generic[Place]):
    """The tickets whose frames are on the line; called from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, Ticket[Place]] = {}
        # Replies that nobody waits for yet, while somebody is about to: only as long as a call to publish lasts.
        self._early: dict[str, Reply] = {}
        self._is_publishing = False

    def __len__(self) -> int:
        return len(self._waiting)

    def publishing(self) -> None:
        """From now on replies to frames come whose ids nobody knows yet. One publishes at a time."""
        with self._lock:
            self._is_publishing = True

    def published(self, ids: Iterable[tuple[str, Ticket[Place]]]) -> list[tuple[Ticket[Place], Reply]]:
        """The tickets by their frames' ids, as they are known now; those among them whose reply is there already."""
        settled = []
        with self._lock:
            for frame_id, ticket in ids:
                reply = self._early.get(frame_id)
                if ticket.given_up:
                    continue
                if reply is not None:
                    settled.append((ticket, reply))
                else:
                    ticket.frame_id = frame_id
                    self._waiting[frame_id] = ticket
            self._early.clear()
            self._is_publishing = False
        return settled

    def replied(self, replies: Iterable[Reply]) -> list[tuple[Ticket[Place], Reply]]:
        """Each reply with the ticket that it is for; one that nobody waits for (any more) is let go."""
        settled = []
        with self._lock:
            for reply in replies:
                ticket = self._waiting.pop(reply.frame, None)
                if ticket is not None:
                    settled.append((ticket, reply))
                elif self._is_publishing:
                    self._early[reply.frame] = reply
        return settled

    def give_up(self, ticket: Ticket[Place]) -> None:
        """Nobody waits for this one any more."""
        with self._lock:
            ticket.given_up = True
            self._waiting.pop(ticket.frame_id, None)
