"""`line-worker bench`: a benchmark that anyone can repeat."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, TextIO

import click

from worker.cli.common import stop_on_signals
from worker.settings import load

_FOLDER = click.Path(path_type=Path)


@click.command(
    epilog="""\b
Examples:
  line-worker bench                                       three minutes, with the demo's model
  line-worker bench --quick                               does it run here?
  line-worker bench --model ./bundle --images ./photos --report bench.json --picture bench.png
  line-worker bench --variants all                        every engine and precision that is installed
  line-worker bench --paddlex /tmp/paddlex/bin/python     beside PaddleX's own predict loop

Settings come from LINE_… and LINE_CONFIG, as for the other commands. Nothing else should run on the machine."""
)
@click.option("--model", type=_FOLDER, help="The model folder; also LINE_MODEL.  [default: the demo's]")
@click.option("--devices", metavar="LIST", help="One worker each, as for `run`; also LINE_DEVICES.  [default: cpu]")
@click.option("--variants", metavar="LIST", help="ENGINE:PRECISION, auto, all; the first in full.  [default: as set]")
@click.option("--images", type=_FOLDER, help="Folder of pictures.  [default: generated parts]")
@click.option(
    "--frames",
    "shapes",
    default="1024,model",
    show_default=True,
    metavar="LIST",
    help="Sides in pixels, model: its own.",
)
@click.option("--seconds", type=click.FloatRange(0.2, 600), default=3.0, show_default=True, help="Of each measurement.")
@click.option("--rounds", type=click.IntRange(1, 100), default=5, show_default=True, help="Figures are their medians.")
@click.option("--loads", default="25,50,75,90", show_default=True, metavar="LIST", help="Percents of full load.")
@click.option("--paddlex", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="A Python with PaddleX.")
@click.option("--quick", is_flag=True, help="One round of half a second: whether it runs, not how fast.")
@click.option("--report", type=click.File("w", lazy=False), help="Write the figures to this file as JSON.")
@click.option("--picture", type=click.File("wb", lazy=False), help="Draw stages and latencies to this file (PNG).")
def bench(
    *,
    model: Path | None,
    devices: str | None,
    variants: str | None,
    images: Path | None,
    shapes: str,
    seconds: float,
    rounds: int,
    loads: str,
    paddlex: Path | None,
    quick: bool,
    report: TextIO | None,
    picture: BinaryIO | None,
) -> None:
    """Measure how fast this machine inspects, and how much of the engine's speed arrives.

    On the same frames and cores, in turns: the engine alone, decode and infer alone (the limit), the whole way over an
    embedded Redis, and PaddleX's own loop where it is named. Then the latency at shares of full load.
    """
    from rich.console import Console

    from worker.bench.picture import check_matplotlib, draw
    from worker.bench.run import BenchOptions, run_bench
    from worker.bench.table import show, warn_if_busy

    if picture is not None:
        check_matplotlib()
    console = Console()
    warn_if_busy(console, os.getloadavg()[0])
    options = BenchOptions(
        model, devices, variants, images, shapes, seconds=seconds, rounds=rounds, loads=loads, paddlex=paddlex
    )
    if quick:
        options = replace(options, seconds=0.5, rounds=1, loads="50,90", frames=16)
    found = run_bench(
        options,
        lambda flags: load(flags)[0],
        lambda text: console.print(text, highlight=False, soft_wrap=True),
        stop_on_signals(),
    )
    show(console, found)
    if report is not None:
        report.write(json.dumps(found, indent=2) + "\n")
    if picture is not None:
        draw(found, picture)
