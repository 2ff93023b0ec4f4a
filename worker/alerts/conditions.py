"""Alerts about the line as a whole: too many frames wait, a worker is gone, or evidence is not kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pydantic import BaseModel, ConfigDict

from worker.alerts.life import NS, OpenAlert, clear_alert, raise_alert, update_alert
from worker.alerts.shelf import Shelves
from worker.settings import Settings
from worker.types import Alert, AlertKind

EVIDENCE_FADES_S = 60.0
"""A worker that cannot keep evidence says so again and again; what it said so long ago holds no more: it is gone."""


class WorkerSeen(Protocol):
    """What is known of one worker: `away_s` seconds since it was last seen."""

    @property
    def name(self) -> str: ...
    @property
    def away_s(self) -> float: ...


class EvidenceSeen(Protocol):
    """Why a worker cannot keep evidence, as it last said, at this time (unix nanoseconds)."""

    @property
    def worker(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def at(self) -> int: ...


class LineState(BaseModel):
    """The open alerts of the line, and the shelves of all alerts; goes to JSON and back unchanged."""

    model_config = ConfigDict(frozen=True)

    backlog: OpenAlert | None = None
    workers: dict[str, OpenAlert] = {}
    evidence: OpenAlert | None = None
    shelves: Shelves = ()


def check_line(
    state: LineState,
    waiting: int,
    workers: Sequence[WorkerSeen],
    now: int,
    settings: Settings,
    evidence: Sequence[EvidenceSeen] = (),
) -> tuple[LineState, list[Alert]]:
    """The state after a look at the line, and the alert events it makes.

    Args:
        waiting: frames waiting or in work (XLEN of the frames stream).
        workers: the consumers of the group `inspect`.
        now: unix nanoseconds, by the clock that `evidence` has its times from.
        evidence: the workers that cannot keep it.
    """
    backlog, events = _check_backlog(state.backlog, waiting, now, settings, state.shelves)
    down, more = _check_workers(state.workers, workers, now, settings.alerts.worker_down_s, state.shelves)
    kept, others = _check_evidence(state.evidence, evidence, now, settings.alerts.update_every_s, state.shelves)
    changed = {"backlog": backlog, "workers": down, "evidence": kept}
    return state.model_copy(update=changed), events + more + others


def _check_backlog(
    opened: OpenAlert | None, waiting: int, now: int, settings: Settings, shelves: Shelves
) -> tuple[OpenAlert | None, list[Alert]]:
    """Raised at the share of `queue.max_frames`, cleared below half of that, so that it does not flap."""
    limit = settings.alerts.backlog_share * settings.queue.max_frames
    message = f"{waiting} frames wait; the queue takes {settings.queue.max_frames}"
    if opened is None:
        if not limit or waiting < limit:
            return None, []
        key = str(now // 1_000_000)
        return raise_alert("", AlertKind.BACKLOG, key, at=now, count=waiting, message=message, shelves=shelves)
    if waiting < limit / 2 or not limit:
        return None, clear_alert(opened, now, message)
    every_s = settings.alerts.update_every_s
    return update_alert(opened, count=waiting, at=now, every_s=every_s, message=message, shelves=shelves)


def _check_workers(
    opened: dict[str, OpenAlert], workers: Sequence[WorkerSeen], now: int, limit_s: float, shelves: Shelves
) -> tuple[dict[str, OpenAlert], list[Alert]]:
    """One alert a worker: raised when it is gone, cleared when it is seen again or has left."""
    away = {worker.name: worker for worker in workers if limit_s and worker.away_s >= limit_s}
    still: dict[str, OpenAlert] = {}
    events: list[Alert] = []
    for name, alert in opened.items():
        if name in away:
            still[name] = alert
            continue
        present = any(worker.name == name for worker in workers)
        events += clear_alert(alert, now, f"worker {name} {'is back' if present else 'has left the group'}")
    for name, worker in away.items():
        if name not in opened:
            key = f"{name}:{now // 1_000_000}"
            message = f"worker {name} has not asked for work for {worker.away_s:.0f} s"
            still[name], raised = raise_alert(
                "", AlertKind.WORKER_DOWN, key, at=now, count=0, message=message, shelves=shelves
            )
            events += raised
    return still, events


def _check_evidence(
    opened: OpenAlert | None, problems: Sequence[EvidenceSeen], now: int, every_s: float, shelves: Shelves
) -> tuple[OpenAlert | None, list[Alert]]:
    """One alert for the line, since workers of one box share a disk; `count` is the workers that cannot keep it."""
    standing = {one.worker: one.reason for one in problems if abs(now - one.at) < EVIDENCE_FADES_S * NS}
    if not standing:
        return None, clear_alert(opened, now, "evidence is kept again") if opened else []
    worker, reason = min(standing.items())
    others = f" and {len(standing) - 1} more" if len(standing) > 1 else ""
    message = f"evidence is not kept by {worker}{others}: {reason}"
    count = len(standing)
    if opened is None:
        key = str(now // 1_000_000)
        return raise_alert("", AlertKind.EVIDENCE, key, at=now, count=count, message=message, shelves=shelves)
    return update_alert(opened, count=count, at=now, every_s=every_s, message=message, shelves=shelves)
