"""The way of a request's frame to the line and back: one thread publishes, one reads the replies.

All requests that wait are published by one call, and the replies to all of them come on one stream. The event loop
never waits for Redis: it puts a ticket in a queue, and is called when there is a reply to it.
"""

from __future__ import annotations

import asyncio
import queue
import random
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import structlog

from worker.errors import FrameError, LineError, StreamUnavailable
from worker.gateway.failures import Failure, of_frame_error
from worker.gateway.line.tickets import Ticket, Tickets
from worker.runtime.retry import Outage
from worker.settings import Settings
from worker.stream.connection import connect
from worker.stream.keys import LineKeys
from worker.stream.publish import FramePublisher, Published
from worker.stream.replies import Replies, Reply
from worker.types import Frame

log = structlog.get_logger()

_MOST_AT_ONCE = 32  # frames a call: a worker can begin with them before the rest is sent
_MOST_BYTES_AT_ONCE = 4 * 2**20
_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 0.5  # between looks for a Redis that is away

Place = asyncio.Future[Reply]
Outcome = Reply | Failure
Settled = Sequence[tuple[Ticket[Place], Outcome]]


class LineClient:
    """Publishes frames and gets the replies to them; `start` and `close` in the event loop's thread."""

    def __init__(self, settings: Settings) -> None:
        self._patience_s = settings.gateway.queue_wait_s
        self._token = uuid.uuid4().hex
        queue_settings = settings.queue.model_copy(update={"block_timeout_s": self._patience_s})
        self._publisher = FramePublisher(settings.model_copy(update={"queue": queue_settings}))
        self._client = connect(settings)
        self._replies = Replies(self._client, LineKeys(settings.line), self._token)
        self._incoming: queue.SimpleQueue[Ticket[Place] | None] = queue.SimpleQueue()
        self._tickets: Tickets[Place] = Tickets()
        self._open: set[Place] = set()
        self._closing = threading.Event()
        self._threads = [
            threading.Thread(target=work, name=work.__name__.strip("_"), daemon=True)
            for work in (self._publish_all, self._read_all)
        ]
        self._loop: asyncio.AbstractEventLoop

    def start(self) -> None:
        """Begin to publish and to read."""
        self._loop = asyncio.get_running_loop()
        for thread in self._threads:
            thread.start()

    async def close(self) -> None:
        """End both threads; what still waits has been given up."""
        self._closing.set()
        self._incoming.put(None)
        for thread in self._threads:
            await asyncio.to_thread(thread.join)
        self._publisher.close()
        self._client.close()

    async def inspect(self, frame: Frame, deadline: float) -> Reply:
        """Publish a frame and wait for what is said of it.

        Args:
            deadline: by the event loop's clock.

        Raises:
            Failure: 429 the line is full, 503 Redis is away, 504 there is no reply by the deadline.
        """
        ticket: Ticket[Place] = Ticket(replace(frame, reply_to=self._token), deadline, self._loop.create_future())
        self._open.add(ticket.place)
        self._incoming.put(ticket)
        try:
            async with asyncio.timeout_at(deadline):
                return await ticket.place
        except TimeoutError:
            raise _no_verdict(ticket) from None
        finally:
            self._open.discard(ticket.place)
            self._tickets.give_up(ticket)

    def give_up(self, failure: Failure) -> None:
        """End what waits now, in the event loop's thread, with this failure."""
        for place in [*self._open]:
            if not place.done():
                place.set_exception(failure)

    def _settle(self, settled: Settled) -> None:
        """Hand outcomes over to the event loop, all by one call."""
        if settled:
            self._loop.call_soon_threadsafe(_deliver, settled)

    # The publisher's thread.

    def _publish_all(self) -> None:
        while not self._closing.is_set():
            tickets = [ticket for ticket in self._next() if not ticket.given_up]
            if tickets:
                self._publish(tickets)

    def _next(self) -> list[Ticket[Place]]:
        """All that wait, up to what goes by one call; waits for the first."""
        tickets: list[Ticket[Place]] = []
        size = 0
        ticket = self._incoming.get()
        while ticket is not None:
            tickets.append(ticket)
            size += len(ticket.frame.data)
            if len(tickets) == _MOST_AT_ONCE or size >= _MOST_BYTES_AT_ONCE:
                break
            try:
                ticket = self._incoming.get_nowait()
            except queue.Empty:
                break
        return tickets

    def _publish(self, tickets: list[Ticket[Place]]) -> None:
        self._tickets.publishing()
        published: list[Published] = []
        try:
            published = self._put([ticket.frame for ticket in tickets], max(ticket.deadline for ticket in tickets))
        except Failure as failure:
            self._settle([(ticket, failure) for ticket in tickets])
        pairs = list(zip(published, tickets, strict=False))
        entered = [(one.id, ticket) for one, ticket in pairs if one.status == "accepted"]
        self._settle(self._tickets.published(entered))
        self._settle([(ticket, _full()) for one, ticket in pairs if one.status == "dropped"])

    def _put(self, frames: list[Frame], deadline: float) -> list[Published]:
        """Publish, riding out a short absence of Redis; each frame once, since they stay the same ones."""
        give_up_at = min(time.monotonic() + self._patience_s, deadline)
        while True:
            try:
                return self._publisher.publish_many(frames, self._closing)
            except StreamUnavailable as error:
                if time.monotonic() >= give_up_at or self._closing.wait(_PAUSE_S * random.uniform(0.5, 1.0)):
                    raise _away(error) from error
            except FrameError as error:
                raise of_frame_error(error) from error
            except LineError as error:
                log.error("a request's frame cannot be published", error=str(error))
                raise Failure(503, f"the service cannot publish: {error}") from error
            except Exception as error:
                log.exception("a request's frame was not published")
                raise Failure(503, "the service failed to publish the picture; its log says why") from error

    # The reader's thread.

    def _read_all(self) -> None:
        outage = Outage("replies", _LONGEST_PAUSE_S)
        while not self._closing.is_set():
            self._ride_out(outage, lambda: self._settle(self._tickets.replied(self._replies.read())))
        with suppress(LineError):  # what is left expires
            self._replies.delete_read()

    def _ride_out(self, outage: Outage, ask: Callable[[], Any]) -> None:
        try:
            ask()
            outage.over()
        except StreamUnavailable as error:
            outage.wait(error, self._closing)
        except Exception as error:  # nobody would get a reply any more if this thread ended
            log.exception("replies cannot be read", error=str(error))
            self._closing.wait(1.0)


def _deliver(settled: Settled) -> None:
    """In the event loop's thread."""
    for ticket, outcome in settled:
        if ticket.place.done():
            continue
        if isinstance(outcome, Failure):
            ticket.place.set_exception(outcome)
        else:
            ticket.place.set_result(outcome)


def _full() -> Failure:
    return Failure(429, "the line is full: its workers do not keep up with what comes; try again later", 1)


def _away(error: StreamUnavailable) -> Failure:
    return Failure(503, f"{error} Nobody knows whether the picture reached the line; there is no verdict on it", 1)


def _no_verdict(ticket: Ticket[Place]) -> Failure:
    if ticket.frame_id:
        where = (
            f"frame {ticket.frame_id} waits or is in work, unless it was dropped from a full line or lost with Redis; "
            "what is said of it later is LATE"
        )
    else:
        where = "the picture was not known to be on the line by then"
    return Failure(504, f"there was no verdict within {ticket.frame.deadline_ms} ms: {where}")
