"""The whole of a training: plan, read, fit, write the bundle; and the way back in after it was broken off."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from worker.devices import Device
from worker.errors import SettingsError, SourceError
from worker.inference.health import Survey
from worker.settings import LimitSettings
from worker.training.calibrate import Calibration
from worker.training.curves import draw_curves
from worker.training.data import Samples, digest, read_images
from worker.training.fitting.checkpoint import Epoch, load
from worker.training.fitting.fitter import AUTO, open_fitter, student_of
from worker.training.fitting.loop import Fitted, Progress, fit
from worker.training.fitting.recipe import Recipe
from worker.training.layers import choose_layers
from worker.training.make import frozen_network, make_bundle, transforms_of
from worker.training.plan import Plan, Run, split
from worker.training.teachers import Teacher
from worker.training.teachers.drawn import random_teacher
from worker.training.weights import Weights
from worker.types import Image

Told = Callable[[], None]


def _silent() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Order:
    """What a training is asked for.

    Shares are of the good images: to watch the fit with, and to calibrate with. `graphs`: see `make_bundle`.
    """

    images: Sequence[Path]
    teacher: Teacher
    recipe: Recipe
    output: Path
    validation_share: float = 0.1
    holdout_share: float = 0.2
    false_reject_rate: float = 0.01
    confidence: float = 0.95
    fitter: str = AUTO
    graphs: bool = True
    device: Device = field(default_factory=lambda: Device("cpu"))


@dataclass(frozen=True, slots=True)
class Watcher:
    """Who is told how it goes: after each image read, of the plan once it is made, after each step."""

    read: Told = _silent
    planned: Callable[[Plan, bool], None] = lambda _plan, _resumed: None
    stepped: Progress | None = None


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training came to."""

    fitted: Fitted
    calibration: Calibration
    run: Run


@dataclass(frozen=True, slots=True)
class Photographs:
    """The images of a training at the model's size, and what all of them were like."""

    learned: Samples
    validation: Samples
    held_out: Samples
    survey: Survey

    @classmethod
    def read(
        cls, parts: Sequence[Sequence[Path]], size: tuple[int, int], limits: LimitSettings, told: Told
    ) -> Photographs:
        """Read all of them: to learn from, to watch with, to calibrate with; `told` is called after each.

        Args:
            size: (H, W) to bring them to.

        Raises:
            SourceError: one cannot be read.
        """
        survey, transforms = Survey(), transforms_of(size)
        learned, validation, held_out = (
            Samples(survey.passing(_counted(read_images(paths, limits), told)), transforms) for paths in parts
        )
        return cls(learned, validation, held_out, survey)


def train(
    order: Order, limits: LimitSettings, watcher: Watcher | None = None, *, restart: bool = False
) -> Trained | None:
    """Fit, calibrate and write a bundle to `order.output`.

    Broken off and called again with the same order it goes on, and writes the same model. Launched as several
    processes, the first one writes it, and the others get None.

    Args:
        restart: begin anew, whatever an earlier call left.

    Raises:
        SettingsError: there is a model at the output already, it cannot be written to, or an earlier call had
            another order.
        SourceError: an image cannot be read, or there are too few.
        TrainingFailed: see `fit`.
    """
    watcher = watcher or Watcher()
    run = Run.beside(order.output)
    check_output(order.output)
    parts = split(order.images, (order.validation_share, order.holdout_share), order.recipe.seed)
    photographs = Photographs.read(parts, order.recipe.size, limits, watcher.read)
    teacher = order.teacher.weights or random_teacher(order.recipe.seed, photographs.learned)
    fitter = open_fitter(order.fitter, teacher, order.recipe, order.device)
    plan = Plan(
        recipe=order.recipe,
        teacher=order.teacher.name,
        teacher_sha256=order.teacher.sha256,
        fitter=fitter.name,
        learned=[str(path) for path in parts[0]],
        validation=[str(path) for path in parts[1]],
        held_out=[str(path) for path in parts[2]],
        data_digest=digest(order.images),
        false_reject_rate=order.false_reject_rate,
        confidence=order.confidence,
    )
    if fitter.leads:
        watcher.planned(plan, run.begin(plan, teacher, restart=restart))
    fitter.wait()
    fitted = fit(
        fitter,
        photographs.learned,
        photographs.validation,
        order.recipe,
        checkpoint=run.checkpoint,
        progress=watcher.stepped,
    )
    if not fitter.leads:
        return None
    write_history(run.history, fitted.history)
    draw_curves(run.curves, fitted.history, fitted.best_epoch)
    return Trained(fitted, write_model(order.output, plan, teacher, fitted, photographs, graphs=order.graphs), run)


def export(run: Run, output: Path, limits: LimitSettings, read: Told = _silent, *, graphs: bool = True) -> Trained:
    """Write a bundle from a training as far as it came; the photographs must still be where they were.

    Raises:
        SourceError: there is no training in the folder, or an image is gone.
        SettingsError: the output is not empty or cannot be written to.
    """
    plan, at = run.plan(), load(run.checkpoint)
    if at is None or not at.history:
        raise SourceError(f"{run.folder}: not one epoch is done and kept: there is no student to export")
    check_output(output)
    parts = [[Path(path) for path in paths] for paths in (plan.learned, plan.validation, plan.held_out)]
    photographs = Photographs.read(parts, plan.recipe.size, limits, read)
    fitted = Fitted.of(at, student_of(at.state))
    return Trained(fitted, write_model(output, plan, run.teacher(), fitted, photographs, graphs=graphs), run)


def write_model(
    output: Path, plan: Plan, teacher: Weights, fitted: Fitted, photographs: Photographs, *, graphs: bool
) -> Calibration:
    """The bundle of a fitted student; see `make_bundle`."""
    network = frozen_network(teacher, fitted.student)
    if plan.recipe.layers == "auto":
        network.layers, _ = choose_layers(network, photographs.validation, photographs.learned, plan.recipe.seed)
    else:
        network.layers = plan.recipe.layers
    layers = ", ".join(map(str, network.layers))
    return make_bundle(
        output,
        network,
        photographs.learned,
        photographs.held_out,
        image_statistics=photographs.survey.statistics(),
        false_reject_rate=plan.false_reject_rate,
        confidence=plan.confidence,
        data_digest=plan.data_digest,
        note=f"teacher {plan.teacher}, {len(fitted.history)} epochs, layers {layers}, seed {plan.recipe.seed}, "
        f"{plan.fitter}",
        graphs=graphs,
    )


def write_history(path: Path, history: Sequence[Epoch]) -> None:
    """A line an epoch, as CSV with a head."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [column.name for column in fields(Epoch)])
        writer.writeheader()
        writer.writerows(asdict(epoch) for epoch in history)


def check_output(output: Path) -> None:
    """Now, and not behind a fit of minutes, it must show that no model can be written there."""
    try:
        if output.is_dir() and any(output.iterdir()):
            raise SettingsError(f"--output {output}: the folder is not empty; nothing is ever overwritten")
        output.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=output).close()
    except OSError as error:
        raise SettingsError(f"--output {output}: no model can be written there: {error.strerror}") from error


def _counted(images: Iterator[Image], told: Told) -> Iterator[Image]:
    for image in images:
        told()
        yield image
