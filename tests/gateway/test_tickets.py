"""Each reply goes to who waits for it, also one that comes before its publisher knows the frame's id."""

from __future__ import annotations

import random
import threading

from worker.gateway.line.tickets import Ticket, Tickets
from worker.stream.replies import DeadReply, Reply
from worker.types import Frame


def ticket(name: str = "t") -> Ticket[str]:
    return Ticket(Frame("c", b"x"), 0.0, name)


def reply(frame: str) -> Reply:
    return DeadReply(frame, "damaged", "")


def test_a_reply_after_publishing_goes_to_its_ticket_once() -> None:
    tickets: Tickets[str] = Tickets()
    mine = ticket()
    tickets.publishing()
    assert tickets.published([("1-1", mine)]) == []
    assert tickets.replied([reply("1-1"), reply("2-2")]) == [(mine, reply("1-1"))]
    assert tickets.replied([reply("1-1")]) == []
    assert len(tickets) == 0


def test_a_reply_that_is_early_is_kept_until_its_frame_is_known() -> None:
    tickets: Tickets[str] = Tickets()
    first, second = ticket(), ticket()
    tickets.publishing()
    assert tickets.replied([reply("1-1")]) == []
    assert tickets.published([("1-1", first), ("1-2", second)]) == [(first, reply("1-1"))]
    assert tickets.replied([reply("1-2")]) == [(second, reply("1-2"))]


def test_early_replies_that_nobody_wanted_are_let_go() -> None:
    tickets: Tickets[str] = Tickets()
    tickets.publishing()
    tickets.replied([reply("1-1")])
    tickets.published([])
    tickets.publishing()
    assert tickets.published([("1-1", ticket())]) == []
    # And while nobody publishes, none is kept
    tickets.replied([reply("3-3")])
    assert tickets.published([("3-3", ticket())]) == []


def test_who_gave_up_waits_no_more() -> None:
    tickets: Tickets[str] = Tickets()
    before, after = ticket(), ticket()
    tickets.publishing()
    tickets.give_up(before)
    tickets.replied([reply("1-1")])
    assert tickets.published([("1-1", before), ("1-2", after)]) == []
    tickets.give_up(after)
    tickets.give_up(after)
    assert len(tickets) == 0
    assert tickets.replied([reply("1-2")]) == []


def test_every_ticket_gets_its_reply_whoever_is_first() -> None:
    tickets: Tickets[str] = Tickets()
    got: list[tuple[Ticket[str], Reply]] = []
    to_reply: list[str] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set() or to_reply:
            if to_reply:
                got.extend(tickets.replied([reply(to_reply.pop())]))

    reader = threading.Thread(target=read)
    reader.start()
    for batch in range(300):
        tickets.publishing()
        mine = [(f"{batch}-{number}", ticket(f"{batch}-{number}")) for number in range(8)]
        ids = [name for name, _ in mine]
        random.shuffle(ids)
        to_reply.extend(ids)  # the worker is quicker than the answer to the publisher
        got.extend(tickets.published(mine))
    done.set()
    reader.join()
    assert sorted(one.place for one, _ in got) == sorted(f"{b}-{n}" for b in range(300) for n in range(8))
    assert all(one.place == told.frame for one, told in got)
    assert len(tickets) == 0
