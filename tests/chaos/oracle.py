"""The judgement: what the cameras published against what came out, and against the line's own books."""

from __future__ import annotations

import bisect
import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from cameras import FOREIGN, NAMELESS, Account
from witness import Witness

from worker.stream.ledger import Ledger
from worker.types import Alert, AlertState

REFUSALS = ("drop-newest", "block-timeout")
_LEGAL = {
    None: {AlertState.RAISED},
    AlertState.RAISED: {AlertState.UPDATED, AlertState.ACKNOWLEDGED, AlertState.CLEARED},
    AlertState.UPDATED: {AlertState.UPDATED, AlertState.ACKNOWLEDGED, AlertState.CLEARED},
    AlertState.ACKNOWLEDGED: {AlertState.UPDATED, AlertState.ACKNOWLEDGED, AlertState.CLEARED},
    AlertState.CLEARED: set(),
}


@dataclass
class Window:
    """One fault in time, unix seconds: struck, mended, and until the next one struck."""

    fault: str
    struck: float
    mended: float = 0.0
    until: float = 0.0


@dataclass
class Judgement:
    """What was found, by entry ids. `lost`: accepted and nowhere; `doubled`: ended twice, or one number under two ids.

    An evicted frame leaves nothing behind but its count under its camera. So where a camera misses more frames than
    were evicted, all that it misses are in `lost`.
    """

    published: list[str]
    refused: int
    unknown: int
    lost: list[str]
    doubled: list[str]
    phantoms: int
    evicted: int
    unlucky: int
    difference: int
    backlog: int
    verdicts: dict[str, int]
    dropped: dict[str, int]
    dead: dict[str, int]
    alerts: int
    wrongs: list[str] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """All figures, with the number of frames in the place of their ids but for the few that should not be."""
        return asdict(self) | {"published": len(self.published), "lost": self.lost[:100], "doubled": self.doubled[:100]}

    @property
    def passed(self) -> bool:
        """Whether every promise was kept."""
        return not (self.lost or self.doubled or self.phantoms or self.difference or self.backlog or self.wrongs)


def judge(accounts: Sequence[Account], witness: Witness, books: Ledger) -> Judgement:
    """Hold the cameras' accounts against what the witness saw and what the ledger says."""
    accepted = {entry_id: account.camera for account in accounts for entry_id in account.accepted}
    unknown = sum(account.unknown for account in accounts)
    missing = Counter(camera for entry_id, camera in accepted.items() if entry_id not in witness.ends)
    evicted = {camera: counts.get("dropped:drop-oldest", 0) for camera, counts in books.cameras.items()}
    evicted[FOREIGN] = evicted.get(FOREIGN, 0) + evicted.pop(NAMELESS, 0)
    short = {camera for camera, count in missing.items() if count > evicted.get(camera, 0)}
    lost = [entry_id for entry_id, camera in accepted.items() if camera in short and entry_id not in witness.ends]
    strangers = sum(1 for entry_id in witness.ends if entry_id not in accepted)
    judgement = Judgement(
        published=list(accepted),
        refused=sum(account.refused for account in accounts),
        unknown=unknown,
        lost=lost,
        doubled=_doubled(witness),
        phantoms=max(0, strangers - unknown),
        evicted=sum(evicted.values()),
        unlucky=len(witness.unlucky),
        difference=books.difference,
        backlog=books.backlog,
        verdicts=dict(witness.verdicts),
        dropped=books.dropped,
        dead={reason: n for (_, reason), n in sorted(witness.reasons.items())},
        alerts=len(witness.alerts),
    )
    judgement.wrongs += [f"camera {account.camera}: {account.error}" for account in accounts if account.error]
    judgement.wrongs += [f"alert {wrong}" for wrong in illegal_alerts(witness.alerts)]
    judgement.wrongs += _wrong_books(accounts, witness, books)
    return judgement


def _doubled(witness: Witness) -> list[str]:
    twice = [frame for frame, times in witness.ends.items() if times > 1]
    for (camera, seq), frames in witness.numbers.items():
        if camera != FOREIGN and seq and len(frames) > 1:
            twice += sorted(frames)[1:]
    return twice


def _wrong_books(accounts: Iterable[Account], witness: Witness, books: Ledger) -> list[str]:
    wrongs = []
    if witness.missed:
        wrongs.append(f"{witness.missed} entries were trimmed before the witness saw them")
    for account in accounts:
        counted = sum(books.cameras.get(account.camera, {}).get(f"dropped:{reason}", 0) for reason in REFUSALS)
        if counted != account.refused:
            wrongs.append(f"camera {account.camera} was refused {account.refused} frames; the ledger has {counted}")
    for verdict, count in books.verdicts.items():
        if witness.verdicts[verdict] != count:
            wrongs.append(f"{witness.verdicts[verdict]} results say {verdict}; the ledger has {count}")
    dead = sum(witness.reasons.values())
    if dead != books.dead:
        wrongs.append(f"{dead} dead letters; the ledger has {books.dead}")
    return wrongs


def illegal_alerts(alerts: Iterable[Alert]) -> list[str]:
    """Alerts that were not raised once, then updated, then cleared once; or raised while one like it was open."""
    wrongs: list[str] = []
    states: dict[str, AlertState] = {}
    open_ones: dict[tuple[str, str, str], str] = {}
    for alert in alerts:
        before = states.get(alert.alert_id)
        if alert.state not in _LEGAL[before]:
            wrongs.append(f"{alert.alert_id}: {alert.state} after {before}")
        states[alert.alert_id] = alert.state
        subject = alert.message.split(" has ")[0] if alert.kind == "worker_down" else ""
        place = (alert.camera, alert.kind.value, subject)
        if alert.state is AlertState.RAISED:
            if place in open_ones:
                wrongs.append(f"{alert.alert_id}: raised while {open_ones[place]} was open")
            open_ones[place] = alert.alert_id
        elif alert.state is AlertState.CLEARED:
            open_ones = {where: name for where, name in open_ones.items() if name != alert.alert_id}
    return wrongs


def longest_stall(results: Sequence[float], window: Window) -> float:
    """The longest time without any verdict that begins in the window, in seconds. `results` are sorted."""
    first = max(0, bisect.bisect_left(results, window.struck) - 1)  # the last verdict before it struck
    last = bisect.bisect_right(results, window.until) + 1
    times = [max(at, window.struck) for at in results[first:last]]
    return max((after - before for before, after in itertools.pairwise(times)), default=0.0)


def verdicts_again(results: Sequence[float], window: Window) -> float:
    """Seconds from the mending to the next verdict."""
    place = bisect.bisect_left(results, window.mended)
    return results[place] - window.mended if place < len(results) else float("inf")
