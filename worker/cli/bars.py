"""The progress bars of every command that has them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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


@contextmanager
def fetching_bar(console: Console, what: str) -> Iterator[Callable[[int, int], None]]:
    """Takes the bytes that came and the bytes in all; a bar in MiB from the first call on, if there is one."""
    with progress_bars(console) as bars:
        fetching = bars.add_task(f"fetching {what}", total=None, visible=False)
        yield lambda done, total: bars.update(fetching, completed=done >> 20, total=total >> 20, visible=True)
