"""Makes the demo's model: `python -m worker.demo.make_model`.

Everything is generated and follows from seeds: the builtin teacher, good parts of some cameras to learn from, others
to calibrate with, and again others to check the promise on. It takes about five minutes on two cores.
The model that ships in `worker/demo/model` was made by this script: on the cameras of CHECK_SEEDS it found 500 of 500
bad parts and rejected 1 of 500 good ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import click
import numpy as np

from worker.capture.defects import KINDS
from worker.capture.generated import GOOD, GeneratedLine
from worker.demo import MODEL
from worker.devices import Device
from worker.inference.bundle import load_bundle
from worker.inference.health import Survey
from worker.training.data import Samples
from worker.training.fitting.fitter import AUTO, open_fitter
from worker.training.fitting.loop import fit
from worker.training.fitting.recipe import Recipe
from worker.training.make import make_bundle, score, transforms_of
from worker.training.statistics import resting_network
from worker.training.teachers import BUILTIN, BUILTIN_FILE
from worker.training.teachers.equalise import prepared
from worker.training.teachers.files import read
from worker.types import Image

LEARN_SEEDS, CALIBRATE_SEEDS, CHECK_SEEDS = range(1000, 1040), range(2000, 2040), range(3000, 3020)
LEARN_EACH, CALIBRATE_EACH, CHECK_EACH = 10, 25, 25
EPOCHS = 12


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


def _tell(step: int, steps: int, loss: float) -> None:
    if step % 10 == 0:
        click.echo(f"step {step} of {steps}, loss {loss:.4f}", err=True)


@click.command()
@click.option("--output", type=click.Path(path_type=Path), default=MODEL, show_default=True)
@click.option("--epochs", type=click.IntRange(1), default=EPOCHS, show_default=True)
def main(output: Path, epochs: int) -> None:
    """Make the demo's model and check it on cameras that it has not seen."""
    recipe, survey = Recipe(epochs=epochs, schedule="step"), Survey()
    transforms = transforms_of(recipe.size)
    learned = Samples(survey.passing(parts(LEARN_SEEDS, GOOD, LEARN_EACH)), transforms)
    held_out = Samples(survey.passing(parts(CALIBRATE_SEEDS, GOOD, CALIBRATE_EACH)), transforms)
    teacher = prepared(read(BUILTIN_FILE), learned, BUILTIN, equalise=True)
    fitter = open_fitter(AUTO, teacher, recipe, Device("cpu"))
    fitted = fit(fitter, learned, Samples([], transforms), recipe, progress=_tell)
    network, chosen = resting_network(teacher, fitted.student, recipe, learned, learned, output.parent)
    click.echo(f"{chosen.statistics} statistics, by {chosen.painted}", err=True)
    calibration = make_bundle(
        output,
        network,
        learned,
        held_out,
        image_statistics=survey.statistics(with_size=False),  # people show it pictures of their own
        name="demo-flange",
        version="1",
        graphs=False,  # 28 MB that the first start makes by itself
    )
    click.echo(f"threshold {calibration.threshold:.5g} from {calibration.statistics}")
    for kind, share in check(output).items():
        click.echo(f"{kind}: {share:.2%} rejected")


if __name__ == "__main__":
    main()
