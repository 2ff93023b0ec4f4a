"""`line-worker train`: a folder of good images becomes a calibrated model folder."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from worker.errors import SettingsError
from worker.settings import load
from worker.types import Image

if TYPE_CHECKING:
    from worker.training.calibrate import Calibration

RANDOM = "random"
_SHARE = click.FloatRange(0, 1, min_open=True, max_open=True)


@click.command(
    epilog="""\b
Examples:
  line-worker train --data ./good --teacher resnet18.npz --output ./model
  line-worker train --data ./good --teacher random --output ./model --steps 300
  line-worker run --model ./model                    serve what it wrote

The scores of the images held out set the threshold. To promise 1 % false rejects with 95 % confidence takes 299
of them; with fewer it is an estimate, and the command says so."""
)
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Folder of good images, to its leaves.")
@click.option("--teacher", required=True, metavar="FILE|random", help="ResNet18 weights (.npz), or random ones.")
@click.option("--output", type=click.Path(path_type=Path), required=True, help="Folder to write the model to.")
@click.option("--steps", type=click.IntRange(1), default=150, show_default=True, help="Steps of the fit.")
@click.option("--batch-size", type=click.IntRange(2), default=8, show_default=True, help="Images a step.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Same seed, same start.")
@click.option("--holdout", type=_SHARE, default=0.2, show_default=True, help="Share kept back to calibrate with.")
@click.option(
    "--false-reject-rate",
    type=_SHARE,
    default=0.01,
    show_default=True,
    help="Good parts that may be rejected.",
)
def train(
    *,
    data: Path,
    teacher: str,
    output: Path,
    steps: int,
    batch_size: int,
    seed: int,
    holdout: float,
    false_reject_rate: float,
) -> None:
    """Train a model on images of good parts, and calibrate its threshold on those held out.

    A teacher that was trained on photographs finds finer defects than a random one, and sooner.
    """
    from worker.training.data import digest, find_images, read_images, split
    from worker.training.weights import read

    limits = load()[0].limits
    paths = find_images(data)
    learned, held_out = split(paths, holdout, seed)
    weights = None if teacher == RANDOM else read(Path(teacher))
    _make_folder(output)
    console = Console(stderr=True)
    console.print(f"{len(learned)} images to learn from, {len(held_out)} to calibrate with")

    from worker.training.fit import Recipe  # imports paddle, which takes seconds: only once the rest is well
    from worker.training.make import make_bundle

    with _progress(console) as bar:
        reading = bar.add_task("reading", total=len(paths))
        fitting = bar.add_task("fitting", total=steps)

        def images(paths: list[Path]) -> Iterator[Image]:
            for image in read_images(paths, limits):
                bar.advance(reading)
                yield image

        def show(step: int, loss: float) -> None:
            bar.update(fitting, completed=step, description=f"fitting, loss {loss:.3f}")
            if not console.is_terminal and step * 10 // steps > (step - 1) * 10 // steps:
                console.print(f"step {step} of {steps}, loss {loss:.3f}")

        calibration = make_bundle(
            output,
            weights,
            images(learned),
            images(held_out),
            recipe=Recipe(steps=steps, batch_size=batch_size, seed=seed),
            false_reject_rate=false_reject_rate,
            data_digest=digest(paths),
            progress=show,
        )
    _report(console, calibration, false_reject_rate)
    click.echo(output)


def _make_folder(output: Path) -> None:
    """Now, and not behind a fit of minutes, it must show that nothing can be written there."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=output).close()
    except OSError as error:
        raise SettingsError(f"--output {output}: no model can be written there: {error.strerror}") from error


def _progress(console: Console) -> Progress:
    left = TextColumn("left")
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        left,
    )
    return Progress(*columns, console=console, disable=not console.is_terminal)


def _report(console: Console, calibration: Calibration, rate: float) -> None:
    statistics = calibration.statistics
    console.print(
        f"threshold {calibration.threshold:.4g}; scores of the {statistics['frames']:.0f} held-out images: "
        f"median {statistics['median']:.4g}, highest {statistics['maximum']:.4g}"
    )
    if not calibration.promised:
        console.print(
            f"The threshold is an estimate: to promise {rate:.2%} false rejects takes "
            f"{statistics['frames_needed']:.0f} held-out images. "
            f"It is {statistics['margin']} times the highest score."
        )
