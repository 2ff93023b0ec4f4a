"""`line-worker dataset`: look at a data set before a model is trained on it, and bring it into another layout."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from worker.cli.bars import progress_bars
from worker.settings import load

if TYPE_CHECKING:
    from worker.training.dataset.examination import Examination
    from worker.training.dataset.samples import Layout

_LAYOUTS = ("auto", "mvtec", "paddlex", "plain")
_LINES = 10  # of a finding, on the terminal
_FAILED = 65  # EX_DATAERR
_LAYOUT_HELP = "How the folder is laid out; auto: what it looks like."


@click.group(
    epilog="""\b
Examples:
  line-worker dataset check ./photos --output ./looked-at
  line-worker dataset convert ./bottle --to paddlex --output ./bottle-lists

A folder is read as one of three layouts: MVTec AD's (train/good, test/<kind>, ground_truth/<kind>), PaddleX's lists
(train.txt and val.txt of lines «image mask»), or plain: good images to its leaves."""
)
def dataset() -> None:
    """Check a data set, or convert it to another layout; its own folder is never written to."""


@dataset.command(
    epilog="""\b
Examples:
  line-worker dataset check ./photos --output ./looked-at     and look at contact_sheet.jpg there
  line-worker dataset check ./bottle --json

Ends with 65 where there are errors: images or masks that cannot be used. Warnings are for a person to look at."""
)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--layout", type=click.Choice(_LAYOUTS), default="auto", show_default=True, help=_LAYOUT_HELP)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="New folder for contact_sheet.jpg and check_dataset_result.json, with PaddleX's fields.",
)
@click.option("--json", "as_json", is_flag=True, help="The result as JSON on standard output, with every finding.")
def check(*, folder: Path, layout: str, output: Path | None, as_json: bool) -> None:
    """Count and look at every image: unreadable ones, duplicates, masks that do not fit, images unlike the rest."""
    from worker.training.dataset.examination import examine
    from worker.training.dataset.layouts import open_dataset
    from worker.training.dataset.outputs import claim
    from worker.training.dataset.result import paddlex_result, write_result

    limits = load()[0].limits
    faults: list[str] = []
    found = open_dataset(folder, _layout(layout), limits=limits, faults=faults)
    if output:
        claim(output, folder)
    with _progress("looking", len(found.samples)) as advance:
        examination = examine(found, faults, limits, advance)
    if output:
        write_result(examination, output, limits)
    if as_json:
        click.echo(json.dumps(paddlex_result(examination), indent=2))
    else:
        _report(examination, output)
    if not examination.passed:
        click.get_current_context().exit(_FAILED)


@dataset.command(
    epilog="""\b
Examples:
  line-worker dataset convert ./bottle --to paddlex --output ./bottle-lists
  line-worker dataset convert ./lists --to mvtec --output ./folders --link
  line-worker dataset convert ./photos --to mvtec --output ./folders --test-share 0.2

Images keep their bytes, their part and their kind; PaddleX's lists cannot have blanks in a name, so these become _."""
)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--to", type=click.Choice(_LAYOUTS[1:3]), required=True, help="The layout to write.")
@click.option("--output", type=click.Path(path_type=Path), required=True, help="New folder to write to.")
@click.option("--layout", type=click.Choice(_LAYOUTS), default="auto", show_default=True, help=_LAYOUT_HELP)
@click.option("--link", is_flag=True, help="Hard links instead of copies: no room is taken; a change is one to both.")
@click.option(
    "--test-share",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Share of the good images to make tests of, where there are no tests yet.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Which images --test-share takes.")
def convert(
    *, folder: Path, to: str, output: Path, layout: str, link: bool, test_share: float | None, seed: int
) -> None:
    """Copy a data set into another layout."""
    from worker.training.dataset.convert import convert as write
    from worker.training.dataset.convert import split_tests
    from worker.training.dataset.layouts import Layout, check_all_good, open_dataset
    from worker.training.dataset.outputs import claim

    limits = load()[0].limits
    found = open_dataset(folder, _layout(layout), limits=limits)
    check_all_good(found)
    if test_share is not None:
        found = split_tests(found, test_share, seed)
    claim(output, folder)
    with _progress("linking" if link else "copying", len(found.samples)) as advance:
        write(found, Layout(to), output, limits, link=link, advance=advance)
    console = Console(stderr=True)
    tests = len(found.tests)
    console.print(f"images to learn from: {len(found.samples) - tests}, tests: {tests}")
    if found.strays:
        console.print(
            f"left behind: {len(found.strays)} files without a place in the layout, of another format, or behind a link"
        )
    if not tests and to == "paddlex":
        console.print("there is no val.txt, for there are no tests; PaddleX wants some: --test-share makes them")
    click.echo(output)


def _layout(name: str) -> Layout | None:
    from worker.training.dataset.samples import Layout

    return None if name == "auto" else Layout(name)


@contextmanager
def _progress(what: str, total: int) -> Iterator[Callable[[], object]]:
    console = Console(stderr=True)
    with progress_bars(console) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)


def _report(examination: Examination, output: Path | None) -> None:
    from worker.training.names import printable

    if isinstance(sys.stdout, io.TextIOWrapper):  # file names are anyone's, and not every terminal has all letters
        sys.stdout.reconfigure(errors="backslashreplace")
    console = Console(soft_wrap=True, highlight=False)
    found = examination.dataset
    console.print(Text(f"{printable(str(found.folder))}, read as {found.layout}"))
    console.print(_counts(examination))
    for line in _sizes(examination):
        console.print(line)
    for finding in examination.findings:
        count = f": {len(finding.lines)}" if finding.lines else ""
        style = "bold red" if finding.weight == "error" else "bold yellow"
        console.print(Text.assemble((finding.weight.value, style), f"  {finding.message}{count}"))
        for line in finding.lines[:_LINES]:
            console.print(Text(f"    {line}"))
        if len(finding.lines) > _LINES:
            where = "check_dataset_result.json" if output else "--json"
            console.print(Text(f"    and {len(finding.lines) - _LINES} more, see {where}"))
    weights = [finding.weight.value for finding in examination.findings]
    verdict = "passed" if examination.passed else "failed"
    console.print(f"{verdict}: errors {weights.count('error')}, warnings {weights.count('warning')}")


def _counts(examination: Examination) -> Table:
    from worker.training.names import printable

    table = Table("part", "kind", "images")
    for part, kinds in examination.counts().items():
        for kind, count in kinds.items():
            table.add_row(part, Text(printable(kind)), str(count))
    return table


def _sizes(examination: Examination) -> list[str]:
    sizes, (colour, grey) = examination.sizes(), examination.colours()
    if not sizes:
        return []
    (width, height), count = sizes[0]
    sized = f"all {width}×{height}" if len(sizes) == 1 else f"{len(sizes)}, the commonest {width}×{height} ({count})"
    return [f"sizes: {sized}", f"in colour: {colour}, grey: {grey}"]
