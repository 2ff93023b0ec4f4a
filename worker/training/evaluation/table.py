"""An evaluation on the terminal."""

from __future__ import annotations

from collections.abc import Mapping

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from worker.training.evaluation.document import notes
from worker.training.evaluation.evaluate import Evaluation
from worker.training.evaluation.figures import JUDGED, Figures, KindFigures
from worker.training.evaluation.metrics import CONFIDENCE
from worker.training.evaluation.pixels import PixelFigures
from worker.training.evaluation.texts import (
    figure_text,
    share_text,
    short_interval_text,
    short_percent_text,
)
from worker.training.names import printable
from worker.types import Verdict

_RANKED = ("image AUROC", "AP", "pixel", "PRO")
_LEGEND = f"in brackets: {CONFIDENCE:.0%} intervals; AP: average precision of images; pixel: AUROC; PRO: up to 0.3"


def show(console: Console, evaluation: Evaluation) -> None:
    """Print the table, what it is of, and what must be known of it."""
    found = evaluation.figures
    console.print(_table(found))
    if found.bad:
        console.print(_LEGEND, style="dim", highlight=False, soft_wrap=True)
    lines = [
        f"{evaluation.model} by {evaluation.engine} {evaluation.precision}, threshold {found.threshold:.4g}",
        f"false rejects {share_text(found.false_rejects)}",
    ]
    if found.bad:
        lines += _of_defects(found.bad, evaluation.raw_pixels)
    for line in [*lines, *notes(evaluation)]:
        console.print(escape(printable(line)), highlight=False, soft_wrap=True)


def _table(found: Figures) -> Table:
    table = Table("kind", "n", *JUDGED, box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for name in ("recall", *_RANKED) if found.bad else ():
        table.add_column(name)
    for column in table.columns[1:]:
        column.justify = "right"
    table.add_row("good", *_counts(found.good), *[""] * (len(_RANKED) + 1 if found.bad else 0))
    for figures in found.kinds:
        table.add_row(escape(printable(figures.kind)), *_row(figures))
    if found.bad:
        table.add_section()
        table.add_row("all", *_row(found.bad))
    return table


def _row(figures: KindFigures) -> list[str]:
    pixels = figures.pixels
    ranked = [short_interval_text(figures.auroc), figure_text(figures.average_precision)]
    ranked += [figure_text(pixels.auroc if pixels else None), figure_text(pixels.pro if pixels else None)]
    return [*_counts(figures.verdicts), short_percent_text(figures.recall), *ranked]


def _counts(verdicts: Mapping[Verdict, int]) -> list[str]:
    return [str(sum(verdicts.values())), *(str(verdicts[verdict]) for verdict in JUDGED)]


def _of_defects(bad: KindFigures, raw: PixelFigures | None) -> list[str]:
    lines = [f"recall {share_text(bad.recall)}"]
    if best := bad.best_f1:
        lines.append(f"best F1 {best.value:.3f}, at {best.threshold:.4g}, which these images chose: not one to use")
    if raw:
        lines.append(
            f"of the maps before they are opened: pixel AUROC {figure_text(raw.auroc)}, PRO {figure_text(raw.pro)}"
        )
    return lines
