"""The demo's live table: a row a camera, and the line's backlog and last alert below."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from worker.demo.observer import Observer, percentile
from worker.stream.ledger import Ledger

_RECENT = 200  # results that the latency columns look back


def render(observer: Observer, ledger: Ledger, elapsed_s: float, seconds: float) -> RenderableType:
    """The table as of now."""
    table = Table(title=None, expand=False)
    table.add_column("camera")
    for name in ("fps", "OK", "NG", "INVALID", "LATE", "p50 ms", "p99 ms"):
        table.add_column(name, justify="right")
    for name, tally in list(observer.cameras.items()):
        recent = tally.latencies_ms[-_RECENT:]
        table.add_row(
            name,
            f"{tally.fps:.1f}",
            *(str(count) for count in tally.verdicts.values()),
            f"{percentile(recent, 0.5):.0f}",
            f"{percentile(recent, 0.99):.0f}",
        )
    last = observer.alerts[-1] if observer.alerts else None
    alert = f"{last.state} {last.kind} {last.camera}: {last.message}" if last else "none yet"
    clock = f"{elapsed_s:.0f} s" + (f" of {seconds:.0f} s" if seconds else ", Ctrl-C ends")
    return Group(
        table,
        Text(f"backlog {ledger.backlog}   dead {ledger.dead}   ledger difference {ledger.difference}   {clock}"),
        Text(f"last alert: {alert}", style="bold red" if last and last.state == "raised" else ""),
    )
