"""The table: what was done to the line, and what it cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from oracle import Judgement, Window, longest_stall, verdicts_again

HEAD = ("fault", "times", "frames", "lost", "doubled", "longest stall", "verdicts again after")


def rows(windows: Sequence[Window], results: Sequence[float], judgement: Judgement) -> list[dict[str, Any]]:
    """One row a fault. A frame belongs to the fault that struck last before it was published; times are in seconds.

    The longest stall is the longest time without any verdict that began then; the last column counts from the mending.
    """
    table = []
    for name in sorted({window.fault for window in windows}):
        mine = [window for window in windows if window.fault == name]
        table.append(
            {
                "fault": name,
                "times": len(mine),
                "frames": _count(judgement.published, mine),
                "lost": _count(judgement.lost, mine),
                "doubled": _count(judgement.doubled, mine),
                "longest_stall_s": round(max(longest_stall(results, window) for window in mine), 1),
                "verdicts_again_s": round(max(verdicts_again(results, window) for window in mine), 1),
            }
        )
    return table


def _count(entry_ids: Iterable[str], windows: Sequence[Window]) -> int:
    times = (int(entry_id.partition("-")[0]) / 1e3 for entry_id in entry_ids)
    return sum(1 for at in times if any(window.struck <= at < window.until for window in windows))


def show(table: Sequence[Mapping[str, Any]], judgement: Judgement) -> str:
    """As Markdown; the last row is the whole run, the time before the first fault and after the last one included."""
    lines = [f"| {' | '.join(HEAD)} |", "|---" * len(HEAD) + "|"]
    for row in table:
        lines.append(
            f"| {row['fault']} | {row['times']} | {row['frames']:,} | {row['lost']} | {row['doubled']} "
            f"| {row['longest_stall_s']} s | {row['verdicts_again_s']} s |"
        )
    lines.append(
        f"| **all** | **{sum(row['times'] for row in table)}** | **{len(judgement.published):,}** "
        f"| **{len(judgement.lost)}** | **{len(judgement.doubled)}** | | |"
    )
    return "\n".join(lines)


def explain(judgement: Judgement) -> str:
    """The whole run in words."""
    found = judgement.summary()
    lines = [
        f"published  {found['published']:,} accepted, {judgement.refused:,} refused and told so, "
        f"{judgement.unknown} whose answer was lost",
        f"ended      {judgement.verdicts}, dead {judgement.dead}, dropped {judgement.dropped}",
        f"lost       {len(judgement.lost)}",
        f"doubled    {len(judgement.doubled)}",
        f"unknown    {judgement.phantoms} ended that nobody published",
        f"unlucky    {judgement.unlucky} good frames dead-lettered, since each worker that had them was killed",
        f"ledger     difference {judgement.difference}, backlog {judgement.backlog}",
        f"alerts     {judgement.alerts} events",
        *(f"WRONG      {wrong}" for wrong in judgement.wrongs),
    ]
    return "\n".join(lines)


def as_json(table: Sequence[Mapping[str, Any]], judgement: Judgement, more: Mapping[str, Any]) -> dict[str, Any]:
    """Everything, for a file."""
    summary = judgement.summary() | {"passed": judgement.passed}
    return {"faults": list(table), "judgement": summary} | dict(more)
