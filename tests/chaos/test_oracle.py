"""The oracle sees what it looks for: each kind of broken promise, planted in an account that balances otherwise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from cameras import Account
from oracle import Judgement, Window, illegal_alerts, judge, longest_stall, verdicts_again

from worker.stream.ledger import Ledger
from worker.types import Alert, AlertKind, AlertState, Severity

IDS = [f"{1_000 + number}-0" for number in range(10)]


class Run:
    """Ten frames of one camera: eight verdicts, one dead letter, one evicted, and one more refused."""

    def __init__(self) -> None:
        self.account = Account("a", dict.fromkeys(IDS, 0.0), refused=1)
        self.witness = SimpleNamespace(
            ends=Counter(IDS[:9]),
            verdicts=Counter(OK=8),
            numbers={("a", str(number)): {IDS[number]} for number in range(8)},
            reasons=Counter({("a", "truncated"): 1}),
            unlucky=[],
            alerts=[],
            missed=0,
        )
        self.counts = {"dropped:drop-oldest": 1, "dropped:drop-newest": 1}
        self.verdicts = {"OK": 8}
        self.produced = 11
        self.backlog = 0

    def judge(self) -> Judgement:
        books = Ledger(
            produced=self.produced, verdicts=self.verdicts, dead=1, dropped={"drop-oldest": 1, "drop-newest": 1},
            backlog=self.backlog, backlog_bytes=0, pending=0, uncounted=0, dead_letters_kept=1,
            cameras={"a": self.counts},
        )  # fmt: skip
        return judge([self.account], self.witness, books)  # type: ignore[arg-type]


def lose(run: Run) -> None:
    del run.witness.ends[IDS[3]]


def double(run: Run) -> None:
    run.witness.ends[IDS[3]] += 1


def publish_twice(run: Run) -> None:
    run.witness.numbers["a", "3"].add("2000-0")


def invent(run: Run) -> None:
    run.witness.ends["2000-0"] += 1


def miscount(run: Run) -> None:
    run.verdicts["OK"] += 1


def drop_in_silence(run: Run) -> None:
    run.account.refused += 1


def keep_back(run: Run) -> None:
    run.backlog = 1


def overlook(run: Run) -> None:
    run.witness.missed = 1


def test_a_run_without_fault_passes() -> None:
    assert Run().judge().passed


@pytest.mark.parametrize(
    "break_promise", [lose, double, publish_twice, invent, miscount, drop_in_silence, keep_back, overlook]
)
def test_a_broken_promise_is_seen(break_promise: Callable[[Run], None]) -> None:
    run = Run()
    break_promise(run)
    assert not run.judge().passed


def test_what_is_lost_and_doubled_is_named() -> None:
    run = Run()
    lose(run)
    double_of = Run()
    double(double_of)
    assert IDS[3] in run.judge().lost
    assert double_of.judge().doubled == [IDS[3]]


def alert(name: str, state: AlertState, camera: str = "a") -> Alert:
    return Alert(name, camera, AlertKind.ANOMALY, state, Severity.CRITICAL, opened_at=1, at=1)


def test_alerts_out_of_order_are_seen() -> None:
    raised, updated, cleared = AlertState.RAISED, AlertState.UPDATED, AlertState.CLEARED
    fine = [alert("1", raised), alert("1", updated), alert("2", raised, "b"), alert("1", cleared), alert("3", raised)]
    assert illegal_alerts(fine) == []
    for wrong in (
        [alert("1", raised), alert("1", raised)],
        [alert("1", cleared)],
        [alert("1", raised), alert("1", cleared), alert("1", updated)],
        [alert("1", raised), alert("2", raised)],
    ):
        assert illegal_alerts(wrong)


def test_a_stall_is_laid_at_the_door_of_the_fault_in_which_it_began() -> None:
    results = [0.0, 1.0, 2.0, 7.0, 7.5]
    struck = Window("this", struck=1.5, mended=4.0, until=7.2)
    after = Window("next", struck=5.0, mended=7.1, until=9.0)
    assert longest_stall(results, struck) == 5.0
    assert longest_stall(results, after) == 2.0
    assert verdicts_again(results, struck) == 3.0
