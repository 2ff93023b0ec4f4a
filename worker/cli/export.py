"""`line-worker export`: a model folder from a training, as far as it came."""

from __future__ import annotations

from pathlib import Path

import click

from worker.cli.train import console_of_training, report_training
from worker.settings import load


@click.command(
    epilog="""\b
Examples:
  line-worker export ./model.training --output ./model-so-far     of a training that was broken off, or is still going
  line-worker export ./model.training --output ./model-again      the same model once more
  line-worker export ./model.training --output ./as-published --layer-weights 1,1,1 --statistics running

The folder that it writes is PaddleX's inference format, and a bundle: bundle.json with threshold, history and sha256,
golden frames, and the graphs of other engines. The photographs must still be where they were: their scores set the
threshold."""
)
@click.argument("training", type=click.Path(path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), required=True, help="Folder to write to; new or empty.")
@click.option("--layer-weights", metavar="A,B,C", help="Powers of the layers' distances. [the training's]")
@click.option("--statistics", help="The student's: running, settled or auto. [the training's]")
@click.option("--graphs/--no-graphs", default=True, help="Whether to make the graphs of other engines too.")
def export(training: Path, output: Path, graphs: bool, **changes: str | None) -> None:
    """Write a calibrated model from the folder that `train` keeps its state in."""
    from worker.training.plan import Run
    from worker.training.train import export as write

    console = console_of_training()
    run = Run(training)
    given = {name: value for name, value in changes.items() if value is not None}
    exported = write(run, output, load()[0].limits, graphs=graphs, changes=given)
    report_training(console, exported, run.plan().false_reject_rate)
    click.echo(output)
