"""The progress bars of every command that has them."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


def progress_bars(console: Console) -> Progress:
    """How much is done, the time it took and the time left; nothing at all off a terminal."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    # What is printed goes above the bar where both are on the terminal, and where it was sent to otherwise.
    above = sys.stdout.isatty()
    return Progress(*columns, console=console, disable=not console.is_terminal, redirect_stdout=above)
