"""The whole of a training: read, plan, fit, write the bundle; and the way back in after it was broken off."""

from __future__ import annotations

import csv
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from worker.devices import Device
from worker.errors import SettingsError, SourceError
from worker.settings import LimitSettings
from worker.training.calibrate import Calibration
from worker.training.curves import draw_curves
from worker.training.data import digest_of
from worker.training.fitting.checkpoint import Epoch, load
from worker.training.fitting.fitter import AUTO, open_fitter, student_of
from worker.training.fitting.loop import Fitted, Progress, fit
from worker.training.fitting.recipe import Recipe, Statistics
from worker.training.make import make_bundle, transforms_of
from worker.training.names import is_text, printable
from worker.training.paddlex import make_recipe
from worker.training.photographs import Photographs, Told
from worker.training.plan import Plan, Run
from worker.training.split import Split, split
from worker.training.statistics import Chosen, resting_network
from worker.training.teachers import Teacher
from worker.training.teachers.drawn import random_teacher
from worker.training.teachers.equalise import prepared
from worker.training.weights import Weights

_NEEDED_BYTES = 192 << 20  # checkpoint and the one that replaces it, teacher, model with its graphs and their making


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


def _silent() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Watcher:
    """Who is told how it goes: after each image read, of the plan once it is made, after each step."""

    read: Told = _silent
    planned: Callable[[Plan, Photographs, bool], None] = lambda _plan, _photographs, _resumed: None
    stepped: Progress | None = None


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training came to."""

    fitted: Fitted
    calibration: Calibration
    chosen: Chosen
    run: Run


def train(
    order: Order, limits: LimitSettings, watcher: Watcher | None = None, *, restart: bool = False
) -> Trained | None:
    """Fit, calibrate and write a bundle to `order.output`.

    Broken off at any moment and called again with the same order it goes on, and writes the same model. Launched as
    several processes, the first one writes it, and the others get None.

    Args:
        restart: begin anew, whatever an earlier call left.

    Raises:
        SettingsError: there is something at the output already, it cannot be written to, an earlier call had another
            order, or another one is at work.
        SourceError: an image cannot be read, or there are too few.
        TrainingFailed, TrainingStopped: see `fit`.
    """
    watcher, run = watcher or Watcher(), Run.beside(order.output)
    check_output(order.output)
    photographs = Photographs.read(order.images, transforms_of(order.recipe.size), limits, watcher.read)
    shared = split(photographs.pictures, order.validation_share, order.holdout_share, order.recipe.seed)
    learned, validation = photographs.samples(shared.learned), photographs.samples(shared.validation)
    teacher = order.teacher.weights or random_teacher(order.recipe.seed, learned)
    teacher = prepared(teacher, learned, order.teacher.name, equalise=order.recipe.equalise)
    fitter = open_fitter(order.fitter, teacher, order.recipe, order.device)
    plan = _plan(order, fitter.name, shared)
    with _space_for(order.output), run.locked() if fitter.leads else nullcontext():
        if fitter.leads:
            watcher.planned(plan, photographs, run.begin(plan, teacher, restart=restart))
        fitter.wait()
        fitted = fit(fitter, learned, validation, order.recipe, checkpoint=run.checkpoint, progress=watcher.stepped)
        if not fitter.leads:
            return None
        write_history(run.history, fitted.history)
        draw_curves(run.curves, fitted.history, fitted.best_epoch)
        shutil.rmtree(run.model, ignore_errors=True)  # what a call that was killed left
        return _write(run, run.model, order.output, plan, teacher, fitted, photographs, graphs=order.graphs)


def export(
    run: Run,
    output: Path,
    limits: LimitSettings,
    read: Told = _silent,
    *,
    graphs: bool = True,
    changes: Mapping[str, object] | None = None,
) -> Trained:
    """Write a bundle from a training as far as it came; the photographs must still be where and as they were.

    Args:
        changes: `layer_weights` and `statistics` other than the training's; they do not touch the fit.

    Raises:
        SourceError: there is no training in the folder, or an image is gone or was altered.
        SettingsError: there is something at the output already, it cannot be written to, or a change is not allowed.
    """
    plan, at = run.plan(), load(run.checkpoint)
    plan = plan.model_copy(update={"recipe": make_recipe({**plan.recipe.model_dump(), **(changes or {})})})
    if at is None or not at.history:
        raise SourceError(f"{run.folder}: not one epoch is done and kept: there is no student to export")
    check_output(output)
    paths = [Path(path) for path in (*plan.learned, *plan.validation, *plan.held_out)]
    photographs = Photographs.read(paths, transforms_of(plan.recipe.size), limits, read)
    fitted = Fitted.of(at, student_of(at.state))
    place = output.resolve()
    with (
        _space_for(output),
        tempfile.TemporaryDirectory(prefix=f".{place.name}.", dir=place.parent, ignore_cleanup_errors=True) as scratch,
    ):
        return _write(run, Path(scratch) / "model", output, plan, run.teacher(), fitted, photographs, graphs=graphs)


def _plan(order: Order, fitter: str, shared: Split) -> Plan:
    return Plan(
        recipe=order.recipe,
        teacher=order.teacher.name,
        teacher_sha256=order.teacher.sha256,
        fitter=fitter,
        learned=shared.learned,
        validation=shared.validation,
        held_out=shared.held_out,
        alike=shared.alike,
        data_digest=digest_of(digest for part in shared.parts for digest in part.values()),
        false_reject_rate=order.false_reject_rate,
        confidence=order.confidence,
    )


def _write(
    run: Run,
    made_in: Path,
    output: Path,
    plan: Plan,
    teacher: Weights,
    fitted: Fitted,
    photographs: Photographs,
    *,
    graphs: bool,
) -> Trained:
    """Make the bundle of a fitted student in a folder beside the output, and put it there in one step."""
    learned, validation, held_out = (
        photographs.samples(part) for part in (plan.learned, plan.validation, plan.held_out)
    )
    network, chosen = resting_network(teacher, fitted.student, plan.recipe, learned, validation, made_in.parent)
    calibration = make_bundle(
        made_in,
        network,
        learned,
        held_out,
        image_statistics=photographs.survey.statistics(),
        false_reject_rate=plan.false_reject_rate,
        confidence=plan.confidence,
        data_digest=plan.data_digest,
        learned_pictures=[*plan.learned.values(), *plan.validation.values()],
        name=output.resolve().name,
        note=", ".join(_told(plan, len(fitted.history), chosen.statistics)),
        graphs=graphs,
    )
    made_in.replace(output.resolve())
    return Trained(fitted, calibration, chosen, run)


def _told(plan: Plan, epochs: int, statistics: Statistics) -> Iterator[str]:
    """What the model's history tells of its training."""
    yield f"teacher {plan.teacher}{' equalised' if plan.recipe.equalise else ''}"
    yield f"{epochs} epochs"
    yield f"layer weights ({', '.join(f'{weight:g}' for weight in plan.recipe.layer_weights)})"
    yield f"{statistics} statistics"
    yield f"seed {plan.recipe.seed}"
    yield plan.fitter


def write_history(path: Path, history: Sequence[Epoch]) -> None:
    """A line an epoch, as CSV with a head."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [column.name for column in fields(Epoch)])
        writer.writeheader()
        writer.writerows(asdict(epoch) for epoch in history)


def check_output(output: Path) -> None:
    """Now, and not behind a fit of minutes, it must show that no model can be written there.

    Raises:
        SettingsError: it cannot.
    """
    if not is_text(output):
        raise SettingsError(f"--output {printable(str(output))}: the name is not UTF-8, which a graph's path must be")
    try:
        if output.is_dir() and any(output.iterdir()):
            raise SettingsError(f"--output {output}: the folder is not empty; nothing is ever overwritten")
        if output.resolve().is_mount():
            raise SettingsError(f"--output {output}: is a mount point; name a folder in it")
        output.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=output).close()
        free = shutil.disk_usage(output).free
    except OSError as error:
        raise SettingsError(f"--output {output}: no model can be written there: {error.strerror}") from error
    if free < _NEEDED_BYTES:
        raise SettingsError(
            f"--output {output}: {free >> 20} MiB are free there, and a training takes up to {_NEEDED_BYTES >> 20}"
        )


@contextmanager
def _space_for(output: Path) -> Iterator[None]:
    """A disk that fills up in the midst of it costs what was being written, and not what was written before."""
    try:
        yield
    except OSError as error:
        raise SettingsError(
            f"--output {output}: cannot be written: {error.strerror}; the same command goes on from the last state "
            "of the fit that could be kept"
        ) from error
