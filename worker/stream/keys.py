"""The names of a line's keys. The braces are part of a key: one hash tag, so one Cluster slot, a line."""

from __future__ import annotations

from dataclasses import dataclass

GROUP_INSPECT = "inspect"
GROUP_ALERTING = "alerting"


@dataclass(frozen=True, slots=True)
class OutboxKeys:
    """The keys of one sink's outbox: what waits, how far it has come, who delivers it, what could not be delivered."""

    waiting: str
    state: str
    lease: str
    dead: str


class LineKeys:
    """The keys of the line called `line`."""

    def __init__(self, line: str) -> None:
        self.line = line
        tag = f"{{{line}}}"
        self.frames = f"{tag}:frames"
        self.results = f"{tag}:results"
        self.alerts = f"{tag}:alerts"
        # What people order of the alert process; gone when it has carried them out.
        self.orders = f"{tag}:alerts:orders"
        self.dead = f"{tag}:frames:dead"
        self.dead_bytes = f"{tag}:frames:dead:bytes"
        # While it is there, publishers wait: entry ids run ahead of the clock and must be brought back (tend.lua).
        self.hold = f"{tag}:frames:hold"
        # Bytes of each frame in the backlog that a publisher of ours put there: limits by bytes need it, and
        # it tells a foreign client's frame, which nobody counted yet, from one of ours.
        self.sizes = f"{tag}:frames:sizes"
        self.ledger = f"{tag}:ledger"
        self.cameras = f"{tag}:ledger:cameras"
        # Up to where the alert process has settled the results, so that its group can be made again where it stood.
        self.settled = f"{tag}:results:settled"
        # What each camera last showed, as digests: a frozen one shows the same for ever.
        self.pictures = f"{tag}:pictures"
        # Which workers cannot keep evidence, and why; see EvidenceBoard.
        self.evidence = f"{tag}:evidence"
        # The names of the sinks that ever had an outbox.
        self.outboxes = f"{tag}:outboxes"
        self._tag = tag

    def alarm(self, camera: str) -> str:
        """The alert process's state for one camera."""
        return f"{self._tag}:alarm:{camera}"

    def outbox(self, sink: str) -> OutboxKeys:
        """What is on its way to one sink."""
        outbox = f"{self._tag}:outbox:{sink}"
        return OutboxKeys(outbox, f"{outbox}:state", f"{outbox}:lease", f"{outbox}:dead")

    def reply(self, token: str) -> str:
        """Where the result of a frame with `reply_to=token` is put, as a stream of one entry."""
        return f"{self._tag}:reply:{token}"

    def publisher(self, token: str) -> str:
        """What one publisher last published, so that a retry after a lost answer publishes nothing twice."""
        return f"{self._tag}:publisher:{token}"
