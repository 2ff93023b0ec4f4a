"""`line-worker train`: photographs of good parts become a calibrated model folder."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from worker.cli.bars import fetching_bar, progress_bars
from worker.cli.common import stop_on_signals
from worker.devices import Device, parse_devices
from worker.errors import SettingsError, TrainingStopped
from worker.settings import Settings, load

if TYPE_CHECKING:
    from worker.training.dataset.layouts import Dataset
    from worker.training.photographs import Photographs
    from worker.training.plan import Plan
    from worker.training.train import Trained, Watcher

_SHARE = click.FloatRange(0, 1, min_open=True, max_open=True)
_FEW_HELD_OUT = 20
_LAUNCH = "python -m paddle.distributed.launch --gpus 0,1 -m worker train …"
_FITTERS = ("auto", "paddle", "torch")


@click.command(
    epilog="""\b
Examples:
  line-worker train --data ./good --output ./model                   200 photographs of good parts are enough
  line-worker train --data ./mvtec/bottle --output ./model           MVTec AD's layout: its train/good
  line-worker train --data ./good --output ./model --teacher imagenet --epochs 50
  line-worker train -c STFPM.yaml -o Global.dataset_dir=./lists -o Train.batch_size=8 --device cpu
  line-worker run --model ./model                                    serve what it wrote

Broken off, by Ctrl-C or by a power cut, the same command goes on where it was, and comes to the same model. What it
needs for that, the history and its curves are kept beside the model, in OUTPUT.training.

Some images are held out: their scores set the threshold. To promise 1 % false rejects with 95 % confidence takes 299
of them; with fewer it is an estimate, and the command says what it can promise."""
)
@click.option("--data", type=click.Path(path_type=Path), help="Good images: a folder, MVTec AD's layout, or lists.")
@click.option("--output", type=click.Path(path_type=Path), help="Folder to write the model to; new or empty.")
@click.option("--teacher", metavar="NAME|FILE", help="builtin (default), imagenet, random, or weights on disk.")
@click.option("-c", "--paddlex-config", type=click.Path(path_type=Path), help="PaddleX's STFPM.yaml.")
@click.option("-o", "overrides", multiple=True, metavar="KEY.SUB=VALUE", help="As PaddleX's; wins over the file.")
@click.option("--epochs", type=int, help="Passes over the images. [100]")
@click.option("--batch-size", type=int, help="Images a step. [32]")
@click.option("--learning-rate", type=float, help="Of stochastic gradient descent. [0.4]")
@click.option("--schedule", help="How the rate goes: constant, step, cosine. [constant]")
@click.option("--size", metavar="WxH", help="What images are resized to. [256x256]")
@click.option("--equalise/--no-equalise", default=None, help="Let all the teacher's channels count alike. [yes]")
@click.option("--layer-weights", metavar="A,B,C", help="Powers of the layers' distances; 0: not at all. [0.25,0.5,1]")
@click.option("--statistics", help="The student's: running, settled, or auto, whichever finds more. [auto]")
@click.option("--patience", type=int, help="End after so many epochs without a better validation loss. [0: never]")
@click.option("--seed", type=int, help="Same seed, same model. [0]")
@click.option("--validation", type=_SHARE, default=0.1, show_default=True, help="Share that the fit is watched with.")
@click.option("--holdout", type=_SHARE, default=0.2, show_default=True, help="Share kept back to calibrate with.")
@click.option("--false-reject-rate", type=_SHARE, default=0.01, show_default=True, help="Good parts to be rejected.")
@click.option("--confidence", type=_SHARE, default=0.95, show_default=True, help="With which that rate is promised.")
@click.option("--fitter", type=click.Choice(_FITTERS), default="auto", show_default=True, help="What computes the fit.")
@click.option("--device", help="cpu (default), gpu:0, npu:0 …")
@click.option("--graphs/--no-graphs", default=True, help="Whether to make the graphs of other engines too.")
@click.option("--restart", is_flag=True, help="Forget what an earlier call left, and begin anew.")
def train(
    *,
    data: Path | None,
    output: Path | None,
    teacher: str | None,
    paddlex_config: Path | None,
    overrides: tuple[str, ...],
    size: str | None,
    validation: float,
    holdout: float,
    false_reject_rate: float,
    confidence: float,
    fitter: str,
    device: str | None,
    graphs: bool,
    restart: bool,
    **recipe: Any,
) -> None:
    """Train a model on images of good parts, and calibrate its threshold on those held out."""
    from worker.training.dataset.layouts import open_dataset
    from worker.training.dataset.outputs import keep_apart
    from worker.training.paddlex import make_recipe, read_wishes

    console = console_of_training()
    wishes = read_wishes(paddlex_config, overrides)
    if wishes.ignored:
        console.print(f"without effect here: {', '.join(wishes.ignored)}")
    given = {name: value for name, value in recipe.items() if value is not None}
    if size is not None:
        given["size"] = size
    wanted = make_recipe(wishes.recipe | given)
    options = wishes.options
    folder, source = _needed(output, options, "output"), _needed(data, options, "data")
    images = _good_images(open_dataset(source), console)
    keep_apart(folder, source)
    on = _one_device(device, options.get("device") or "cpu", console)
    settings, _ = load()
    found = _open_teacher(teacher or options.get("teacher") or "builtin", settings, console)

    from worker.training.train import Order, Watcher  # imports paddle, which takes seconds: once the rest is well
    from worker.training.train import train as run

    order = Order(
        images=images,
        teacher=found,
        recipe=wanted,
        output=folder,
        validation_share=validation,
        holdout_share=holdout,
        false_reject_rate=false_reject_rate,
        confidence=confidence,
        fitter=fitter,
        device=on,
        graphs=graphs,
    )
    with _watched(console, len(images), stop_on_signals(), Watcher) as watcher:
        trained = run(order, settings.limits, watcher, restart=restart)
    if trained is not None:
        report_training(console, trained, false_reject_rate)
        click.echo(folder)


def console_of_training() -> Console:
    """Standard error, where a line stays a line off a terminal."""
    return Console(stderr=True, soft_wrap=True)


def _needed(given: Path | None, options: dict[str, str], name: str) -> Path:
    value = given or options.get(name)
    if not value:
        raise SettingsError(f"--{name} is needed, or its key in the file of -c")
    return Path(value)


def _good_images(dataset: Dataset, console: Console) -> list[Path]:
    """Those to learn from, and a word on what is left out."""
    from worker.training.dataset.layouts import Layout, check_all_good

    check_all_good(dataset)
    if dataset.layout is Layout.PLAIN and (left := len(dataset.strays)):
        console.print(f"{left} files are of another format or behind a link: left out (`dataset check` names them)")
    return [sample.path for sample in dataset.learned]


def _one_device(asked: str | None, of_the_file: str, console: Console) -> Device:
    """PaddleX's own file names four GPUs: the first of them is taken, where nobody asks for another device."""
    devices = parse_devices(asked or of_the_file)
    if len(devices) > 1 and asked:
        raise SettingsError(f"--device {asked}: one device fits; several are launched, as {_LAUNCH}")
    if len(devices) > 1:
        console.print(f"Global.device {of_the_file}: {devices[0]} fits; several are launched, as {_LAUNCH}")
    return devices[0]


def _open_teacher(name: str, settings: Settings, console: Console) -> Any:
    from worker.training.teachers import open_teacher

    with fetching_bar(console, "the teacher") as fetched:
        return open_teacher(name, settings.cache_folder / "teachers", fetched)


@contextmanager
def _watched(
    console: Console, images: int, stop: threading.Event, watcher: Callable[..., Watcher]
) -> Iterator[Watcher]:
    """Bars on a terminal, a line now and then elsewhere; a signal ends the training where it can go on."""
    with progress_bars(console) as bars:
        reading = bars.add_task("reading", total=images)
        fitting = bars.add_task("fitting", total=None)

        def read() -> None:
            bars.advance(reading)
            if stop.is_set():
                raise TrainingStopped("stopped before the fit began")

        def planned(plan: Plan, photographs: Photographs, resumed: bool) -> None:
            for line in _worth_knowing(plan, photographs):
                console.print(line)
            console.print(
                f"{len(plan.learned)} images to learn from, {len(plan.validation)} to watch the fit with, "
                f"{len(plan.held_out)} to calibrate with; teacher {plan.teacher}; {plan.fitter}"
            )
            if resumed:
                console.print("going on with the fit that was broken off")

        def stepped(step: int, steps: int, loss: float) -> None:
            bars.update(fitting, completed=step, total=steps, description=f"fitting, loss {loss:.3f}")
            if not console.is_terminal and step * 10 // steps > (step - 1) * 10 // steps:
                console.print(f"step {step} of {steps}, loss {loss:.3f}")
            if stop.is_set():
                raise TrainingStopped(f"stopped after step {step} of {steps}; the same command goes on from there")

        yield watcher(read, planned, stepped)


def _worth_knowing(plan: Plan, photographs: Photographs) -> Iterator[str]:
    from worker.training.fitting.fitter import torch_is_here

    if not torch_is_here() and "on cpu" in plan.fitter:
        yield "without PyTorch a fit on a CPU takes hours: pip install 'line-worker[torch]' makes it far shorter"
    if repeated := len(photographs.repeated):
        yield f"{repeated} files hold a picture that is there already: left out (`dataset check` names them)"
    if shapes := len(photographs.survey.sizes) - 1:
        height, width = plan.recipe.size
        yield f"the images have {shapes + 1} sizes: all are stretched to {width}×{height}"
    if plan.alike:
        yield f"{plan.alike} pictures are nearly another one (the same part?): such stay on one side"
    if len(plan.held_out) < _FEW_HELD_OUT:
        yield f"WARNING: {len(plan.held_out)} images to calibrate with are very few: the threshold is a rough guess"


def report_training(console: Console, trained: Trained, rate: float) -> None:
    """What came of it; `rate` is the false-reject rate that was wanted."""
    from worker.training.calibration.report import promise

    history, scores = trained.fitted.history, trained.calibration.statistics
    console.print(
        f"{len(history)} epochs in {sum(epoch.seconds for epoch in history):.0f} s; the student of epoch "
        f"{trained.fitted.best_epoch} is taken; history and curves are in {trained.run.folder}"
    )
    painted = ", ".join(f"{name}: {auroc:.3f}" for name, auroc in trained.chosen.painted.items())
    chosen_by = f" (AUROC of painted defects: {painted})" if painted else ""
    console.print(f"{trained.chosen.statistics} statistics{chosen_by}")
    console.print(
        f"threshold {trained.calibration.threshold:.4g}; scores of the {scores['frames']:.0f} held-out images: "
        f"median {scores['median']:.4g}, highest {scores['maximum']:.4g}"
    )
    console.print(promise(trained.calibration, rate))
