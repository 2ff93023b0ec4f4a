"""Makes the demo's model: `python -m worker.demo.make_model`.

Everything is generated and follows from seeds: a teacher that learned to read letters (`glyphs`), good parts of
some cameras to learn from, others to calibrate with, and again others to check the promise on. It takes about
ten minutes on two cores. The model that ships in `worker/demo/model` was made by this script: on the cameras of
CHECK_SEEDS it found 499 of 500 bad parts and rejected none of 500 good ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import click
import numpy as np

from worker.capture.defects import KINDS
from worker.capture.generated import GOOD, GeneratedLine
from worker.demo import MODEL
from worker.inference.bundle import load_bundle
from worker.training.fit import Progress, Recipe
from worker.training.glyphs import glyph_teacher
from worker.training.make import TRANSFORMS, make_bundle, score
from worker.training.weights import Weights, read
from worker.types import Image

LEARN_SEEDS, CALIBRATE_SEEDS, CHECK_SEEDS = range(1000, 1040), range(2000, 2040), range(3000, 3020)
LEARN_EACH, CALIBRATE_EACH, CHECK_EACH = 10, 25, 25


def parts(seeds: Iterable[int], kind: str, each: int) -> Iterator[Image]:
    """`each` parts of one kind from every camera of `seeds`."""
    return (GeneratedLine(seed).render(seq, kind).image for seed in seeds for seq in range(each))


def check(folder: Path, seeds: Iterable[int] = CHECK_SEEDS, each: int = CHECK_EACH) -> dict[str, float]:
    """Share of generated parts that the model rejects at its threshold, by kind; `good` are false rejects."""
    seeds, threshold = list(seeds), load_bundle(folder).threshold
    shares = {}
    for kind in (GOOD, *KINDS):
        scores = np.array(list(score(folder, parts(seeds, kind, each if kind == GOOD else max(1, each // 5)))))
        shares[kind] = float(np.mean(scores > threshold))
    return shares


def _teacher(file: Path) -> Weights:
    """The teacher, kept in a file, since it takes half of the time."""
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez(file, **glyph_teacher(TRANSFORMS, progress=_tell("teacher")))  # type: ignore[arg-type]
    return read(file)


def _tell(what: str) -> Progress:
    def tell(step: int, loss: float) -> None:
        if step % 10 == 0:
            click.echo(f"{what}: step {step}, loss {loss:.4f}", err=True)

    return tell


@click.command()
@click.option("--output", type=click.Path(path_type=Path), default=MODEL, show_default=True)
@click.option("--teacher", type=click.Path(path_type=Path), required=True, help="File to keep the teacher in (.npz).")
@click.option("--steps", type=click.IntRange(1), default=160, show_default=True)
def main(output: Path, teacher: Path, steps: int) -> None:
    """Make the demo's model and check it on cameras that it has not seen."""
    calibration = make_bundle(
        output,
        _teacher(teacher),
        parts(LEARN_SEEDS, GOOD, LEARN_EACH),
        parts(CALIBRATE_SEEDS, GOOD, CALIBRATE_EACH),
        recipe=Recipe(steps=steps),
        name="demo-flange",
        version="1",
        any_size=True,  # people show it pictures of their own
        graphs=False,  # 28 MB that the first start makes by itself
        progress=_tell("student"),
    )
    click.echo(f"threshold {calibration.threshold:.5g} from {calibration.statistics}")
    for kind, share in check(output).items():
        click.echo(f"{kind}: {share:.2%} rejected")


if __name__ == "__main__":
    main()
