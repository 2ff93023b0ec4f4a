"""Makes the builtin teacher anew: `python -m worker.training.pretraining --work DIR`."""

from __future__ import annotations

import time
from pathlib import Path

import click
import numpy as np

from worker.training.pretraining.fit import Course, pretrain
from worker.training.pretraining.tasks import TASKS
from worker.training.teachers import BUILTIN_FILE

_TOLD_EVERY = 100  # steps


@click.command()
@click.option("--work", type=click.Path(path_type=Path), required=True, help="Folder for textures and checkpoint.")
@click.option("--output", type=click.Path(path_type=Path), default=BUILTIN_FILE, show_default=True)
def main(work: Path, output: Path) -> None:
    """Train a teacher on generated pictures and write its weights, folded and in float16.

    Broken off, the same command goes on where it was.
    """
    work.mkdir(parents=True, exist_ok=True)

    course, sums, began = Course(), np.zeros(len(TASKS)), time.monotonic()

    def report(step: int, losses: list[float]) -> None:
        nonlocal sums, began
        sums += losses
        if step % _TOLD_EVERY == 0:
            means = "  ".join(f"{task} {loss:.3f}" for task, loss in zip(TASKS, sums / _TOLD_EVERY, strict=True))
            seconds = (time.monotonic() - began) / _TOLD_EVERY
            click.echo(f"step {step} of {course.steps}, {seconds:.2f} s each: {means}", err=True)
            sums, began = np.zeros(len(TASKS)), time.monotonic()

    weights = pretrain(course, work, report)
    np.savez(output, **{name: value.astype(np.float16) for name, value in weights.items()})  # type: ignore[arg-type]
    click.echo(output)


if __name__ == "__main__":
    main()
