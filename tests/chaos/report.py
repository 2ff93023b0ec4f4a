"""The table: what was done to the line, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from oracle import Judgement, Window, longest_stall, verdicts_again

HEAD = ("fault", "times", "frames published meanwhile", "longest stall", "verdicts again after")


def rows(windows: Sequence[Window], results: Sequence[float], published: Sequence[float]) -> list[dict[str, Any]]:
    """One row a fault. `frames` were published from when it struck until the next did; times are sorted."""
    table = []
    for name in sorted({window.fault for window in windows}):
        mine = [window for window in windows if window.fault == name]
        table.append(
            {
                "fault": name,
                "times": len(mine),
                "frames": sum(1 for at in published if any(w.struck <= at < w.until for w in mine)),
                "longest_stall_s": round(max(longest_stall(results, window) for window in mine), 1),
                "verdicts_again_s": round(max(verdicts_again(results, window) for window in mine), 1),
            }
        )
    return table


def show(table: Sequence[Mapping[str, Any]], judgement: Judgement) -> str:
    """As Markdown. Lost and doubled frames belong to the whole run: they cannot be laid at one fault's door."""
    lines = [
        "| fault | times | frames published meanwhile | longest stall | verdicts again after |",
        "|---|---|---|---|---|",
    ]
    for row in table:
        lines.append(
            f"| {row['fault']} | {row['times']} | {row['frames']:,} | {row['longest_stall_s']} s "
            f"| {row['verdicts_again_s']} s |"
        )
    total = sum(row["times"] for row in table)
    lines.append(f"| **all** | **{total}** | **{judgement.published:,}** | | |")
    return "\n".join(lines)


def as_json(table: Sequence[Mapping[str, Any]], judgement: Judgement, more: Mapping[str, Any]) -> dict[str, Any]:
    """Everything, for a file."""
    return {"faults": list(table), "judgement": asdict(judgement) | {"passed": judgement.passed}} | dict(more)
