"""Which message goes to a sink next, and when: order, patience and storm control, without Redis and without a clock."""

from __future__ import annotations

import hashlib
import heapq
import random
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice, takewhile

from worker.settings import OutboxSettings

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0

_TRIES_TOGETHER = 3


@dataclass(frozen=True, slots=True)
class Waiting:
    """An event that waits: the id of its entry in the outbox, its own id, and its camera."""

    id: str
    event: str
    camera: str


@dataclass(frozen=True, slots=True)
class Message:
    """One or several events under one key, in the order in which they happened."""

    key: str
    events: tuple[Waiting, ...]


@dataclass(slots=True)
class _Lane:
    """What waits of one camera, each with its place in the outbox; `tried` counts the tries while the sink is away."""

    waiting: deque[tuple[int, Waiting]] = field(default_factory=deque)
    failures: int = 0
    due: float = 0.0
    tried: int = 0

    def be_calm(self) -> None:
        """Nothing stands against its next try."""
        self.failures, self.due, self.tried = 0, 0.0, 0


class TokenBucket:
    """So many a minute; as many at once after a minute without any. 0 a minute is no limit."""

    def __init__(self, per_minute: int, now: float) -> None:
        self._capacity = per_minute
        self._level = float(per_minute)
        self._at = now

    def level(self, now: float) -> float:
        """How many may go now."""
        if not self._capacity:
            return float("inf")
        gained = max(0.0, now - self._at) * self._capacity / 60
        # Rounded, so that after `wait_s` there is one and not nearly one.
        return round(min(float(self._capacity), self._level + gained), 6)

    def take(self, now: float) -> None:
        """One goes."""
        self._level = self.level(now) - 1
        self._at = now

    def wait_s(self, now: float) -> float:
        """Seconds until one may go."""
        return max(0.0, 1 - self.level(now)) * 60 / self._capacity if self._capacity else 0.0


class Dispatch:
    """The order of messages to one sink; `now` is seconds of any steady clock.

    Each camera's events stay in order: a message that failed is tried again before anything else of its cameras. Who
    calls it tells what became of each message that it gave out.
    """

    def __init__(self, settings: OutboxSettings, *, limited: bool, now: float, chance: random.Random) -> None:
        self._group_max = settings.group_max
        self._bucket = TokenBucket(settings.max_per_minute if limited else 0, now)
        self._chance = chance
        self._failures = 0
        self._due = now
        self._turn = 0
        self._lanes: dict[str, _Lane] = {}
        self._messages: dict[str, list[Waiting]] = {}
        self._keys: dict[str, str] = {}
        self._failed: dict[str, int] = {}
        self._place = 0

    def __len__(self) -> int:
        return sum(len(lane.waiting) for lane in self._lanes.values())

    def clear(self) -> None:
        """Forget what waits, to take it anew; how many messages have gone is kept in mind."""
        self._lanes, self._messages, self._keys, self._failed = {}, {}, {}, {}

    def add(self, event: Waiting, key: str = "") -> None:
        """One more waits, behind those that were added before; `key` is of the message that it was sealed into."""
        self._place += 1
        self._lanes.setdefault(event.camera, _Lane()).waiting.append((self._place, event))
        if key:
            self._keys[event.id] = key
            self._messages.setdefault(key, []).append(event)

    def next(self, now: float) -> Message | None:
        """The message to try now. Nothing changes by asking."""
        allowed = self._bucket.level(now)
        ready = [lane for lane in self._lanes.values() if lane.due <= now]
        if now < self._due or allowed < 1 or not ready:
            return None
        first = min(ready, key=lambda lane: (lane.tried, lane.waiting[0][0])).waiting[0][1]
        if key := self._keys.get(first.id):
            return Message(key, tuple(self._messages[key]))
        if sum(len(lane.waiting) for lane in ready) <= allowed:
            return Message(first.event, (first,))
        group = tuple(islice(self._in_order(ready), self._group_max))
        return Message(_key(group), group)

    def wait_s(self, now: float) -> float:
        """Seconds until `next` may have a message; infinite where nothing waits."""
        if not self._lanes:
            return float("inf")
        due = max(self._due, min(lane.due for lane in self._lanes.values()))
        return max(0.0, due - now, self._bucket.wait_s(now))

    def begin(self, message: Message, now: float) -> None:
        """It is tried now; from here on these events go under this key."""
        self._bucket.take(now)
        self._messages[message.key] = list(message.events)
        for event in message.events:
            self._keys[event.id] = message.key

    def delivered(self, message: Message, now: float) -> None:
        """The sink has taken it."""
        self.ended(message)
        self.answered(now)

    def ended(self, message: Message) -> None:
        """It waits no more."""
        self.drop(message, {event.id for event in message.events})

    def drop(self, message: Message, ids: Collection[str]) -> None:
        """These of its events wait no more; what is left of it keeps its key."""
        for camera, events in _by_camera(message).items():
            self._leave(camera, {event.id for event in events} & set(ids))
        for entry_id in ids:
            self._keys.pop(entry_id, None)
        left = [event for event in self._messages.pop(message.key, []) if event.id not in ids]
        if left:
            self._messages[message.key] = left
        else:
            self._failed.pop(message.key, None)

    def failed(self, message: Message, now: float) -> None:
        """The sink is there and has not taken this one: its cameras wait, the others go on."""
        self._failed[message.key] = self._failed.get(message.key, 0) + 1
        for lane in self._lanes_of(message):
            lane.tried = 0
            self._hold_back(lane, now)
        self.answered(now)

    def away(self, message: Message, now: float) -> None:
        """The sink takes nothing for now. The next try is another camera's: one message must not stand for all."""
        self._failures += 1
        self._due = now + self._pause_s(self._failures)
        self._turn += 1
        for lane in self._lanes_of(message):
            lane.tried = self._turn

    def answered(self, now: float) -> None:
        """The sink is there. Who was tried in vain before may be at fault itself, and is held back a little."""
        self._failures, self._due = 0, now
        for lane in self._lanes.values():
            if lane.tried:
                lane.tried = 0
                self._hold_back(lane, now)

    def wants_apart(self, message: Message) -> bool:
        """Whether a group was answered with a failure so often that one event in it is suspected."""
        return len(message.events) > 1 and self._failed.get(message.key, 0) >= _TRIES_TOGETHER

    def part(self, message: Message) -> None:
        """A group that was not taken: from here on each of its events goes alone, under its own id."""
        del self._messages[message.key]
        self._failed.pop(message.key, None)
        for event in message.events:
            self._keys[event.id] = event.event
            self._messages[event.event] = [event]
        for lane in self._lanes_of(message):
            lane.be_calm()

    def _lanes_of(self, message: Message) -> list[_Lane]:
        return [self._lanes[camera] for camera in _by_camera(message)]

    def _leave(self, camera: str, ids: set[str]) -> None:
        lane = self._lanes[camera]
        lane.be_calm()
        left = len(ids)
        while left and lane.waiting and lane.waiting[0][1].id in ids:
            lane.waiting.popleft()
            left -= 1
        if left:  # not the first ones, as they nearly always are
            lane.waiting = deque(one for one in lane.waiting if one[1].id not in ids)
        if not lane.waiting:
            del self._lanes[camera]

    def _hold_back(self, lane: _Lane, now: float) -> None:
        lane.failures += 1
        lane.due = now + self._pause_s(lane.failures)

    def _pause_s(self, failures: int) -> float:
        pause_s = FIRST_PAUSE_S * 2.0 ** min(failures - 1, 16)
        return min(LONGEST_PAUSE_S, pause_s) * self._chance.uniform(0.5, 1.0)

    def _in_order(self, lanes: Iterable[_Lane]) -> Iterator[Waiting]:
        """What waits in these lanes and is in no message yet, in the outbox's order."""
        free = (takewhile(lambda one: one[1].id not in self._keys, lane.waiting) for lane in lanes)
        return (event for _, event in heapq.merge(*free, key=lambda one: one[0]))


def _by_camera(message: Message) -> dict[str, list[Waiting]]:
    cameras: dict[str, list[Waiting]] = {}
    for event in message.events:
        cameras.setdefault(event.camera, []).append(event)
    return cameras


def _key(group: tuple[Waiting, ...]) -> str:
    if len(group) == 1:
        return group[0].event
    members = " ".join(event.event for event in group)
    return f"group-{hashlib.sha256(members.encode()).hexdigest()[:32]}"
