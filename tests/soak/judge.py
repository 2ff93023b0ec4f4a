"""What became of memory, files, threads and speed between the end of the warm-up and the end of a soak."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .watch import Sample, Usage

# A figure is the median of a tenth of the soak: one look may fall on a batch, a rewrite of the file, a scrape.
WINDOW_SHARE = 0.1
MEBI = 2**20
ALLOWED_GROWTH = 0.02


@dataclass(frozen=True, slots=True)
class Growth:
    """A figure after the warm-up and at the end, as medians."""

    name: str
    before: float
    after: float

    @property
    def share(self) -> float:
        """0.02 is two per cent more at the end."""
        return self.after / self.before - 1 if self.before else 0.0


def judge(samples: Sequence[Sample], warmup_s: float, allowed: float = ALLOWED_GROWTH) -> dict[str, Any]:
    """The report: a row for each process, Redis, speed, and `faults`, which is empty where all is flat.

    A process has a fault where it was replaced on the way, and where the least number of files or threads that it has
    at the end is above the least just after the warm-up: what leaks stays, and what comes and goes does not count
    (Redis opens files while it rewrites its own).

    Raises:
        ValueError: the soak was too short for its warm-up.
    """
    window_s = samples[-1].at * WINDOW_SHARE
    early = [one for one in samples if warmup_s <= one.at < warmup_s + window_s]
    late = [one for one in samples if one.at > samples[-1].at - window_s]
    if not early or early[-1].at >= late[0].at:
        raise ValueError(f"{samples[-1].at:.0f} s are too short for a warm-up of {warmup_s:.0f} s")
    processes = {name: _process(name, samples, early, late) for name in early[0].processes}
    memory = {name: _growth(name, early, late, lambda one, name=name: one.redis[name]) for name in early[0].redis}
    faults = [fault for row in processes.values() for fault in _faults(row, allowed)]
    faults += [f"redis {name}: {_said(one)}" for name, one in memory.items() if _grew(name, one, allowed)]
    return {
        "seconds": round(samples[-1].at, 1),
        "warmup_s": warmup_s,
        "frames": samples[-1].frames,
        "fps": _fps(samples, warmup_s),
        "latency_ms": {"p99": {"first": _p99(early, "latencies_ms"), "last": _p99(late, "latencies_ms")}},
        "work_ms": {"p99": {"first": _p99(early, "work_ms"), "last": _p99(late, "work_ms")}},
        "processes": processes,
        "redis": {name: asdict(one) | {"growth": round(one.share, 4)} for name, one in memory.items()},
        "faults": faults,
    }


def _grew(name: str, growth: Growth, allowed: float) -> bool:
    """The append-only file is no memory: it grows until Redis rewrites it, again and again."""
    return name != "aof_size" and growth.share >= allowed


def _growth(name: str, early: Sequence[Sample], late: Sequence[Sample], read: Callable[[Sample], float]) -> Growth:
    return Growth(name, statistics.median(map(read, early)), statistics.median(map(read, late)))


def _process(name: str, samples: Sequence[Sample], early: Sequence[Sample], late: Sequence[Sample]) -> dict[str, Any]:
    def of(part: Sequence[Sample]) -> list[Usage]:
        return [one.processes[name] for one in part if name in one.processes]

    everything, before, after = of(samples), of(early), of(late)
    row: dict[str, Any] = {"name": name, "lives": len({one.pid for one in everything})}
    for figure in ("rss", "anonymous"):
        growth = Growth(
            figure,
            statistics.median(getattr(one, figure) for one in before),
            statistics.median(getattr(one, figure) for one in after) if after else 0.0,
        )
        row[figure] = {"before": growth.before, "after": growth.after, "growth": round(growth.share, 4)}
    for figure in ("fds", "threads"):
        first, last = ([getattr(one, figure) for one in part] for part in (before, after or before))
        row[figure] = {"min": min(first + last), "max": max(first + last), "before": min(first), "after": min(last)}
    return row


def _faults(row: dict[str, Any], allowed: float) -> list[str]:
    name = row["name"]
    faults = [f"{name}: it was replaced {row['lives'] - 1} times"] if row["lives"] > 1 else []
    if row["rss"]["growth"] >= allowed:
        faults.append(f"{name}: rss {_said(Growth('', row['rss']['before'], row['rss']['after']))}")
    return faults + [
        f"{name}: {figure} rose from {row[figure]['before']} to {row[figure]['after']}"
        for figure in ("fds", "threads")
        if row[figure]["after"] > row[figure]["before"]
    ]


def _said(growth: Growth) -> str:
    return f"{growth.before / MEBI:.1f} to {growth.after / MEBI:.1f} MiB, {growth.share:+.1%}"


def _fps(samples: Sequence[Sample], seconds: float) -> dict[str, float]:
    """Frames a second in the first and in the last `seconds`."""
    first = [one for one in samples if one.at <= seconds]
    last = [one for one in samples if one.at >= samples[-1].at - seconds]
    return {"first": _rate(first), "last": _rate(last), "all": _rate(samples)}


def _rate(samples: Sequence[Sample]) -> float:
    return round((samples[-1].frames - samples[0].frames) / max(1e-9, samples[-1].at - samples[0].at), 2)


def _p99(samples: Sequence[Sample], figure: str) -> float:
    values = sorted(value for one in samples for value in getattr(one, figure))
    return round(values[int(0.99 * (len(values) - 1))], 1) if values else 0.0
