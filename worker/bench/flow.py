"""What came out of the line in a window of time: rate, latencies, stages, CPU."""

from __future__ import annotations

import os
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from worker.errors import LineError
from worker.stream.fields import entry_time_ns
from worker.types import Result, Verdict

_INSPECTED = (Verdict.OK, Verdict.NG)


@dataclass(frozen=True, slots=True)
class Probe:
    """A look at the processes: unix nanoseconds, CPU seconds by name and of the whole machine, (seconds, frames) of
    commits so far."""

    at_ns: int
    cpu_s: dict[str, float]
    machine_cpu_s: float
    commits: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Flow:
    """`fps` of verdicts; of each frame published in the window the ms from publish to verdict; the mean ms in each
    stage; CPU ms a frame by process; what share of the machine's CPUs went to other processes; whether the camera could
    not keep the queue filled that it was to fill."""

    fps: float
    latencies_ms: list[float]
    stages_ms: dict[str, float]
    cpu_ms: dict[str, float]
    others_share: float
    is_starved: bool


def flow_of(results: Sequence[Result], began: Probe, ended: Probe, is_starved: bool) -> Flow:
    """What the window between two looks has seen.

    Args:
        results: those of all frames published since before the window, all of them ended.

    Raises:
        LineError: some frames were not inspected, or too few were.
    """
    _check(results)
    ours = [one for one in results if began.at_ns <= entry_time_ns(one.id) < ended.at_ns]
    frames = len(ours)
    fps = commit_rate([entry_time_ns(one.id) for one in ours])
    published = [one for one in results if began.at_ns <= one.published_at < ended.at_ns]
    stages = {stage: statistics.fmean(one.timings[stage] for one in ours) for stage in ours[0].timings}
    seconds, committed = (after - before for before, after in zip(began.commits, ended.commits, strict=True))
    stages["commit"] = seconds * 1e3 / committed if committed else 0.0
    cpu_s = {name: ended.cpu_s[name] - used for name, used in began.cpu_s.items()}
    others_s = ended.machine_cpu_s - began.machine_cpu_s - sum(cpu_s.values())
    machine_s = (ended.at_ns - began.at_ns) / 1e9 * (os.cpu_count() or 1)
    return Flow(
        fps=fps,
        latencies_ms=[(entry_time_ns(one.id) - one.published_at) / 1e6 for one in published],
        stages_ms=stages,
        cpu_ms={name: used * 1e3 / frames for name, used in cpu_s.items()},
        others_share=max(0.0, others_s / machine_s),
        is_starved=is_starved,
    )


def commit_rate(times_ns: Sequence[int]) -> float:
    """Frames a second, from the end of one batch to the end of another: a window cuts no batch in two.

    Args:
        times_ns: when each frame was committed, in order; those of one batch at the same time.
    """
    first, last = (times_ns[0], times_ns[-1]) if times_ns else (0, 0)
    if first == last:
        raise LineError("fewer than two batches within the seconds measured: raise --seconds")
    return sum(time_ns > first for time_ns in times_ns) * 1e9 / (last - first)


def _check(results: Sequence[Result]) -> None:
    """A frame that no model has looked at costs little, and would be counted as fast."""
    skipped = Counter(
        f"{one.verdict} {one.reason.partition(':')[0]}" for one in results if one.verdict not in _INSPECTED
    )
    if skipped:
        said = ", ".join(f"{count} {what}" for what, count in skipped.most_common(3))
        raise LineError(
            f"of {len(results)} frames some were not inspected ({said}): other pictures with --images, or switch the "
            "check off, as with LINE_WATCH__SIZE=off"
        )
