"""The order of messages to one sink: a pure piece, with a clock of the test's."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from worker.alerts.dispatch import LONGEST_PAUSE_S, Dispatch, Message, TokenBucket, Waiting
from worker.settings import OutboxSettings


def waiting(number: int, camera: str = "c1") -> Waiting:
    return Waiting(f"{number}-1", f"{number}-0", camera)


def dispatch(*events: Waiting, limited: bool = True, **more: Any) -> Dispatch:
    made = Dispatch(OutboxSettings(**more), limited=limited, now=0.0, chance=random.Random(1))
    for event in events:
        made.add(event)
    return made


def tried(made: Dispatch, now: float) -> Message:
    message = made.next(now)
    assert message is not None
    made.begin(message, now)
    return message


def test_events_go_one_by_one_under_their_own_ids_while_they_may() -> None:
    made = dispatch(waiting(1), waiting(2, "c2"), waiting(3))
    for number in (1, 2, 3):
        message = tried(made, 0.0)
        assert (message.key, len(message.events)) == (f"{number}-0", 1)
        made.delivered(message, 0.0)
    assert made.next(0.0) is None
    assert made.wait_s(0.0) == float("inf")


def test_where_more_wait_than_may_go_they_go_together_in_order() -> None:
    events = [waiting(number, f"c{number % 3}") for number in range(25)]
    made = dispatch(*events, max_per_minute=5, group_max=10)
    sizes, order, now = [], list[Waiting](), 0.0
    while len(made):
        if (message := made.next(now)) is None:
            now += made.wait_s(now)
            continue
        made.begin(message, now)
        made.delivered(message, now)
        sizes.append(len(message.events))
        order += message.events
    assert order == events
    assert sizes == [10, 10, 5]  # the last five would be more than the three that may go
    assert now == 0.0


def test_a_sink_without_a_limit_gets_each_event_alone() -> None:
    made = dispatch(*[waiting(number) for number in range(500)], limited=False)
    for _ in range(500):
        message = tried(made, 0.0)
        assert len(message.events) == 1
        made.delivered(message, 0.0)


def test_a_group_has_the_same_key_for_the_same_events_alone() -> None:
    first = dispatch(waiting(1), waiting(2), max_per_minute=1).next(0.0)
    again = dispatch(waiting(1), waiting(2), max_per_minute=1).next(0.0)
    other = dispatch(waiting(1), waiting(3), max_per_minute=1).next(0.0)
    assert first is not None
    assert again is not None
    assert other is not None
    assert first == again
    assert first.key != other.key
    assert first.key.startswith("group-")


def test_a_camera_whose_message_fails_waits_longer_and_longer_while_others_go_on() -> None:
    made = dispatch(waiting(1, "bad"), waiting(2, "bad"), waiting(3, "good"), limited=False)
    bad = tried(made, 0.0)
    made.failed(bad, 0.0)
    good = tried(made, 0.0)
    assert good.events[0].camera == "good"
    made.delivered(good, 0.0)
    now, pauses = 0.0, []
    for _ in range(10):
        assert made.next(now) is None
        pauses.append(made.wait_s(now))
        now += pauses[-1]
        assert tried(made, now) == bad
        made.failed(bad, now)
    assert pauses[0] <= 0.5
    assert LONGEST_PAUSE_S / 2 <= max(pauses) <= LONGEST_PAUSE_S
    made.delivered(tried(made, now + 30), now + 30)
    assert tried(made, now + 30).events == (waiting(2, "bad"),)


def test_a_sink_that_is_away_is_asked_with_one_message_at_a_time() -> None:
    made = dispatch(*[waiting(number, f"c{number}") for number in range(5)])
    now, tries = 0.0, 0
    while now < 600:
        message = tried(made, now)
        made.away(message, now)
        tries += 1
        assert made.next(now) is None
        now += made.wait_s(now)
    assert tries < 60
    # Once it is back, all goes out at once, but for a moment's patience with those that failed
    back = now
    made.delivered(tried(made, now), now)
    while len(made):
        now += made.wait_s(now)
        made.delivered(tried(made, now), now)
    assert now - back < 2


def test_a_message_that_makes_the_sink_seem_away_does_not_stand_for_all() -> None:
    made = dispatch(waiting(1, "poison"), *[waiting(number, "good") for number in range(2, 30)], limited=False)
    now, poison = 0.0, 0
    while any(lane == "good" for lane in made._lanes):
        now += made.wait_s(now)
        message = tried(made, now)
        if message.events[0].camera == "poison":
            made.away(message, now)
            poison += 1
        else:
            made.delivered(message, now)
    assert poison < 10
    assert now < 60


def test_a_message_that_fails_after_the_sink_was_away_is_held_back_once() -> None:
    made = dispatch(waiting(1), limited=False)
    message = tried(made, 0.0)
    made.away(message, 0.0)
    made.failed(message, 10.0)
    assert 0 < made.wait_s(10.0) <= 0.5


def test_a_group_that_is_taken_apart_goes_one_by_one_in_order_and_stays_so() -> None:
    events = [waiting(number, f"c{number % 2}") for number in range(6)]
    made = dispatch(*events, max_per_minute=5)
    group = tried(made, 0.0)
    assert len(group.events) == 6
    made.part(group)
    made.add(waiting(6))
    now, order = 0.0, list[str]()
    while len(made):
        now += made.wait_s(now)
        message = tried(made, now)
        order.append(message.key)
        made.delivered(message, now)
    assert order == [f"{number}-0" for number in range(7)]


def test_a_group_is_suspected_after_it_has_failed_thrice_and_one_event_never_is() -> None:
    made = dispatch(waiting(1), waiting(2), max_per_minute=1)
    group = tried(made, 0.0)
    alone = dispatch(waiting(1))
    single = tried(alone, 0.0)
    for wanted in (False, False, True, True):
        made.failed(group, 0.0)
        alone.failed(single, 0.0)
        assert made.wants_apart(group) is wanted
        assert not alone.wants_apart(single)


def test_a_group_that_was_not_answered_is_not_suspected() -> None:
    made = dispatch(waiting(1), waiting(2), max_per_minute=1)
    group = tried(made, 0.0)
    for _ in range(10):
        made.away(group, 0.0)
        made.answered(0.0)  # another message went through
    assert not made.wants_apart(group)


def test_what_was_sealed_before_goes_as_it_was_sealed() -> None:
    made = dispatch()
    for number in range(1, 4):
        made.add(waiting(number), "group-x" if number < 3 else "")
    assert tried(made, 0.0) == Message("group-x", (waiting(1), waiting(2)))


def test_events_that_are_gone_leave_the_rest_of_the_message_its_key() -> None:
    made = dispatch(waiting(1), waiting(2), waiting(3), max_per_minute=2)
    group = tried(made, 0.0)
    made.drop(group, {"2-1"})
    assert made.next(0.0) == Message(group.key, (waiting(1), waiting(3)))
    made.ended(Message(group.key, (waiting(1), waiting(3))))
    assert len(made) == 0


def test_a_bucket_fills_to_a_minutes_worth_and_no_further() -> None:
    bucket = TokenBucket(60, now=0.0)
    for _ in range(60):
        bucket.take(0.0)
    assert bucket.level(0.0) == 0
    assert bucket.wait_s(0.0) == 1.0
    assert bucket.level(0.5) == 0.5
    assert bucket.level(3_600.0) == 60
    assert bucket.level(-10.0) == 0  # a clock that is set back gives nothing


class Sink(RuleBasedStateMachine):
    """Any sink, and processes that come and go; what is sealed and what waits is kept as Redis would keep it."""

    @initialize(per_minute=st.integers(0, 8), group_max=st.integers(1, 5), limited=st.booleans())
    def begin(self, per_minute: int, group_max: int, limited: bool) -> None:
        self.now = 0.0
        self.per_minute, self.group_max = per_minute if limited else 0, group_max
        self.dispatch = dispatch(limited=limited, max_per_minute=per_minute, group_max=group_max)
        self.added: list[Waiting] = []
        self.ended: set[str] = set()
        self.sealed: dict[str, str] = {}
        self.tries: list[float] = []
        self.order: list[Waiting] = []

    @rule(camera=st.integers(0, 3), count=st.integers(1, 4))
    def add(self, camera: int, count: int) -> None:
        for _ in range(count):
            self.added.append(waiting(len(self.added) + 1, f"c{camera}"))
            self.dispatch.add(self.added[-1])

    @rule(s=st.integers(1, 40))
    def time_passes(self, s: int) -> None:
        self.now += s

    @rule()
    def another_process_goes_on(self) -> None:
        self.dispatch.clear()
        for event in self.added:
            if event.id not in self.ended:
                self.dispatch.add(event, self.sealed.get(event.id, ""))

    @rule()
    def take(self) -> None:
        if message := self._tried():
            self._end(message)
            self.dispatch.delivered(message, self.now)

    @rule()
    def fail(self) -> None:
        if message := self._tried():
            self.dispatch.failed(message, self.now)

    @rule()
    def be_away(self) -> None:
        if message := self._tried():
            self.dispatch.away(message, self.now)

    @rule()
    def refuse(self) -> None:
        if message := self._tried():
            self.dispatch.answered(self.now)
            if len(message.events) == 1:
                self._end(message)
                self.dispatch.ended(message)
            else:
                self.dispatch.part(message)
                self.sealed |= {event.id: event.event for event in message.events}

    @rule()
    def lose_an_event(self) -> None:
        if message := self._tried():
            self.ended.add(message.events[-1].id)
            self.dispatch.drop(message, {message.events[-1].id})

    def _tried(self) -> Message | None:
        message = self.dispatch.next(self.now)
        assert message is None or self.dispatch.wait_s(self.now) == 0
        if message is None:
            return None
        self.dispatch.begin(message, self.now)
        self.tries.append(self.now)
        assert 1 <= len(message.events) <= self.group_max
        for event in message.events:
            assert event.id not in self.ended
            assert self.sealed.setdefault(event.id, message.key) == message.key
        return message

    def _end(self, message: Message) -> None:
        self.ended |= {event.id for event in message.events}
        self.order += message.events

    def teardown(self) -> None:
        if not hasattr(self, "dispatch"):
            return
        # Nothing is lost: once the sink takes everything, everything comes to its end
        while len(self.dispatch):
            self.now += self.dispatch.wait_s(self.now)
            self.take()
        assert self.ended == {event.id for event in self.added}
        # Each camera's events ended in order
        for camera in {event.camera for event in self.added}:
            places = [int(event.id.partition("-")[0]) for event in self.order if event.camera == camera]
            assert places == sorted(places)
        # In no minute more went than a full bucket, and what a minute adds to it
        for start in self.tries if self.per_minute else []:
            assert sum(start <= at < start + 60 for at in self.tries) <= 2 * self.per_minute


test_whatever_happens_order_and_keys_are_kept_and_nothing_is_lost = Sink.TestCase
