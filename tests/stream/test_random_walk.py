"""Anything that can happen to a line, in any order: the books agree and every frame ends once."""

from __future__ import annotations

import hypothesis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from worker.errors import StreamUnavailable
from worker.settings import Settings
from worker.types import Verdict

from .line_of_frames import Line, dead, finished

WORKERS = ("w1", "w2")
YEAR_3000_MS = 32_503_680_000_000
workers = st.sampled_from(WORKERS)
picks = st.integers(0, 99)


class Walk(RuleBasedStateMachine):
    """Two workers, our publishers under each policy, a foreign client that adds and deletes, and an operator."""

    settings: Settings

    @initialize()
    def begin(self) -> None:
        self.line = Line(self.settings)
        self.line.do("FLUSHDB")
        self.publishers = {policy: self.line.with_queue(policy, max_frames=4) for policy in ("drop-oldest", "block")}
        self.workers = {name: self.line.consumer(name, idle_ms=0) for name in WORKERS}
        self.in_hand: dict[str, list[str]] = {name: [] for name in WORKERS}
        self.came: set[str] = set()
        self.evicted = 0
        self.refused = 0
        self.ahead = 0
        self.ended: list[str] = []
        self.deleted: set[str] = set()  # from outside, and nobody has noticed yet

    @rule(policy=st.sampled_from(["drop-oldest", "plain"]), camera=st.sampled_from(["c1", "c2"]))
    def publish(self, policy: str, camera: str) -> None:
        try:
            published = self.publishers.get(policy, self.line).publish(camera)
        except StreamUnavailable:  # ids are ahead of the clock: it is told to wait
            assert self.ahead
            return
        self.evicted += published.evicted
        if published.status == "dropped":
            self.refused += 1
        else:
            self.came.add(published.id)

    @rule()
    def foreign(self) -> None:
        self.came.add(self.line.foreign())

    @rule()
    def foreign_ahead_of_the_clock(self) -> None:
        """A client names an id of the year 3000; all later ones are behind it until a worker brings them back."""
        self.ahead += 1
        fields = ("camera", "evil", "data", "x")
        self.came.add(self.line.do("XADD", self.line.keys.frames, f"{YEAR_3000_MS + self.ahead}-0", *fields).decode())

    @rule(name=workers)
    def show_up(self, name: str) -> None:
        self.workers[name].show_up()

    @rule(name=workers, count=st.integers(1, 3))
    def read(self, name: str, count: int) -> None:
        if set(self.line.waiting()) <= set(self.line.pending()):
            return  # nothing to read, and no time to wait for it
        self.in_hand[name] += [delivery.id for delivery in self.workers[name].read(count, block_ms=1)]

    @rule(name=workers, own=st.booleans())
    def recover(self, name: str, own: bool) -> None:
        worker = self.workers[name]
        delivery = worker.recover_own() if own else worker.recover_idle()
        if delivery:
            assert delivery.attempts > 1
            self.in_hand[name].append(delivery.id)

    @rule(name=workers, count=st.integers(1, 3), keep=st.booleans(), bury=st.booleans())
    def commit(self, name: str, count: int, keep: bool, bury: bool) -> None:
        """`keep`: the answer is lost, so that the worker will commit these again."""
        ids = list(dict.fromkeys(self.in_hand[name][:count]))
        if not keep:
            del self.in_hand[name][:count]
        outcomes = [dead(one) if bury else finished(one, verdict=Verdict.NG) for one in ids]
        done = self.line.committer.commit(outcomes)
        self.ended += [one for one, here in zip(ids, done, strict=True) if here]

    @rule(name=workers)
    def renew(self, name: str) -> None:
        self.workers[name].renew(list(dict.fromkeys(self.in_hand[name])))

    @rule(pick=picks)
    def delete(self, pick: int) -> None:
        """Somebody trims what a worker has in hand."""
        if pending := [one for one in self.line.pending() if one not in self.deleted]:
            victim = pending[pick % len(pending)]
            if self.line.do("XDEL", self.line.keys.frames, victim):
                self.deleted.add(victim)

    @rule(pick=picks)
    def replay(self, pick: int) -> None:
        letters = [letter for letter in self.line.letters.list() if letter.original]
        if letters:
            self.came.add(self.line.letters.replay(letters[pick % len(letters)].id))

    @rule(name=workers)
    def die_and_restart(self, name: str) -> None:
        self.in_hand[name] = []
        self.workers[name] = self.line.consumer(name, idle_ms=0)

    @rule()
    def forget_scripts(self) -> None:
        self.line.do("SCRIPT", "FLUSH")

    @invariant()
    def books_agree(self) -> None:
        if not hasattr(self, "line"):
            return
        pending = set(self.line.pending())
        unnoticed = self.deleted & pending
        books = self.line.books()
        assert 0 <= books.difference <= len(unnoticed)
        assert len(self.ended) == len(set(self.ended))
        assert books.backlog == len(self.line.waiting())

    def teardown(self) -> None:
        if not hasattr(self, "line"):
            return
        line, worker = self.line, self.workers["w1"]
        while line.waiting() or line.pending():
            self.in_hand["w1"] = []
            self.read("w1", 1000)
            self.commit("w1", 1000, keep=False, bury=False)
            while delivery := worker.recover_idle():
                self.in_hand["w1"] = [delivery.id]
                self.commit("w1", 1, keep=False, bury=False)
        books = line.books()
        assert books.difference == 0
        assert books.produced == len(self.came) + self.refused
        assert (books.backlog, books.backlog_bytes, books.pending) == (0, 0, 0)
        inspected = [result.frame for result in line.results()]
        assert len(inspected) == len(set(inspected)) == sum(books.verdicts.values())
        assert books.dropped.get("drop-oldest", 0) == self.evicted
        assert len(self.ended) == sum(books.verdicts.values()) + books.dead
        assert books.dropped.get("drop-newest", 0) == self.refused
        assert set(self.ended) <= self.came
        worker.show_up()
        assert int(line.publish().id.split("-")[0]) < YEAR_3000_MS
        line.close()


def test_whatever_happens_every_frame_ends_once_and_the_books_agree(each_settings: Settings) -> None:
    walk = type("Walk", (Walk,), {"settings": each_settings})
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        walk, settings=hypothesis.settings(max_examples=60, stateful_step_count=40, deadline=None)
    )
