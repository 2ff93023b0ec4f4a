"""`line-worker demo`: everything on this machine, nothing installed beforehand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TextIO

import click

from worker.cli.common import stop_on_signals
from worker.settings import load


@click.command(
    epilog="""\b
Examples:
  line-worker demo                                  until Ctrl-C
  line-worker demo --seconds 60 --report r.json     a minute, then the summary, also as JSON
  line-worker demo --cameras 4 --fps 2
  line-worker watch alerts --line demo --redis redis://127.0.0.1:PORT/0     in a second terminal"""
)
@click.option("--seconds", type=click.FloatRange(0), default=0.0, help="End after this long; 0: at Ctrl-C.")
@click.option("--cameras", type=click.IntRange(1, 16), default=2, show_default=True, help="Generated cameras.")
@click.option("--fps", type=click.FloatRange(0.1, 100), default=4.0, show_default=True, help="Frames a second of each.")
@click.option("--devices", default="", metavar="LIST", help="One worker each.  [default: two that share the cores]")
@click.option("--redis-port", type=click.IntRange(0, 65535), default=0, help="Port of the embedded Redis; 0: any free.")
@click.option("--report", type=click.File("w", lazy=False), help="Write the summary to this file as JSON.")
@click.option("--config", type=click.Path(path_type=Path), help="YAML file with settings; also LINE_CONFIG.")
def demo(
    seconds: float, cameras: int, fps: float, devices: str, redis_port: int, report: TextIO | None, config: Path | None
) -> None:
    """Run the whole system here: Redis, workers, alert process, and cameras on a generated line.

    The parts' defects are known, so the summary at the end says how many were found.
    """
    from rich.console import Console

    from worker.demo.report import summarise
    from worker.demo.run import DemoOptions, run_demo

    options = DemoOptions(seconds, cameras, fps, devices, redis_port)
    found = run_demo(options, lambda flags: load(flags, config)[0], Console(), stop_on_signals())
    click.echo(summarise(found))
    if report is not None:
        report.write(json.dumps(found, indent=2) + "\n")
        click.echo(f"report     {report.name}")
