"""`line-worker export`: a model folder from a training, as far as it came; or a model for another runtime."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource
from rich.console import Console

from worker.cli.train import console_of_training, report_training
from worker.errors import SettingsError
from worker.settings import Settings, load
from worker.types import Image

if TYPE_CHECKING:
    from worker.inference.bundle import Bundle
    from worker.inference.edge import Request

_FORMATS = ("onnx", "openvino", "paddle-lite")
_PRECISIONS = ("fp32", "fp16", "int8")
_OF_A_TRAINING = ("layer_weights", "statistics", "graphs")
_OF_A_MODEL = ("precision", "images", "target", "paddle_lite_opt")
_PHOTOGRAPHS = 32  # compared by at most, and as many altered copies


@click.command(
    epilog="""\b
Examples, from a training, also one that was broken off or is still going:
  line-worker export ./model.training --output ./model-so-far
  line-worker export ./model.training --output ./as-published --layer-weights 1,1,1 --statistics running
\b
and from a model folder, for other runtimes:
  line-worker export ./model --output ./edge --format onnx
  line-worker export ./model --output ./edge --format openvino --precision fp16
  line-worker export ./model --output ./edge --format paddle-lite --target arm

From a training it writes a model folder: PaddleX's inference format, and a bundle with threshold, history, golden
frames and the graphs of other engines. The photographs must still be where they were: their scores set the threshold.

From a model it writes the graph, model.json (names, shapes, normalisation, threshold) and predict.py, which runs it
with its runtime alone. The graph's scores are compared with paddle's before, within the limits of `gate`."""
)
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), required=True, help="Folder to write to; new or empty.")
@click.option("--layer-weights", metavar="A,B,C", help="Powers of the layers' distances. [the training's]")
@click.option("--statistics", help="The student's: running, settled or auto. [the training's]")
@click.option("--graphs/--no-graphs", default=True, help="Whether to make the graphs of other engines too.")
@click.option("--format", "to", type=click.Choice(_FORMATS), help="What to make of a model folder.")
@click.option("--precision", type=click.Choice(_PRECISIONS), default="fp32", show_default=True, help="Of the graph.")
@click.option("--images", type=click.Path(path_type=Path), help="Good images to compare by. [the model's own]")
@click.option("--target", default="arm", show_default=True, help="Paddle Lite's: arm, x86, opencl …")
@click.option("--paddle-lite-opt", type=click.Path(path_type=Path), help="Paddle Lite's converter. [on the PATH]")
def export(
    source: Path,
    output: Path,
    to: str | None,
    precision: str,
    images: Path | None,
    target: str,
    paddle_lite_opt: Path | None,
    graphs: bool,
    **changes: str | None,
) -> None:
    """Write a calibrated model from the folder that `train` keeps its state in, or a model for another runtime."""
    _refuse_without_effect(_OF_A_TRAINING if to else _OF_A_MODEL, "a model" if to else "a training")
    settings, _ = load()
    if to is None:
        given = {name: value for name, value in changes.items() if value is not None}
        _from_training(source, output, settings, given, graphs=graphs)
    else:
        from worker.inference.edge import Request

        _from_model(source, output, settings, Request(to, precision, target, paddle_lite_opt), images)
    click.echo(output)


def _refuse_without_effect(names: tuple[str, ...], what: str) -> None:
    for name in names:
        if click.get_current_context().get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise SettingsError(f"--{name.replace('_', '-')} has no effect on an export of {what}")


def _from_training(folder: Path, output: Path, settings: Settings, changes: dict[str, str], *, graphs: bool) -> None:
    from worker.training.plan import Run
    from worker.training.train import export as write

    if not (folder / "plan.json").exists() and (folder / "inference.pdiparams").exists():
        raise SettingsError(f"{folder} is a model already: say with --format what to make of it, {', '.join(_FORMATS)}")
    run = Run(folder)
    exported = write(run, output, settings.limits, graphs=graphs, changes=changes)
    report_training(console_of_training(), exported, run.plan().false_reject_rate)


def _from_model(folder: Path, output: Path, settings: Settings, request: Request, images: Path | None) -> None:
    from worker.inference.bundle import load_bundle
    from worker.inference.edge import export_model

    if (folder / "plan.json").exists():
        raise SettingsError(f"{folder} is a training: export a model folder from it first, without --format")
    bundle = load_bundle(folder)
    pictures = _pictures(images, bundle, settings) if images else []
    console = Console(stderr=True, soft_wrap=True)
    with console.status(f"exporting and comparing with paddle: {request.format} {request.precision}"):
        exported = export_model(bundle, output, request, settings.gate, pictures)
    parity = exported.parity
    console.print(
        f"{exported.what}, compared with paddle fp32 on {exported.frames} frames ({exported.origin}): rank correlation "
        f"{parity.rank_correlation:.5f}, largest error {parity.largest_error:.3%}, verdict flips {parity.flips:.2%}"
    )


def _pictures(folder: Path, bundle: Bundle, settings: Settings) -> list[Image]:
    """Some photographs from all over the folder, at the model's size."""
    from worker.inference.preprocess import resized
    from worker.inference.selection.golden import places
    from worker.training.data import find_images, read_images

    paths = find_images(folder)
    some = [paths[place] for place in places(len(paths), _PHOTOGRAPHS)]
    return [resized(image, bundle.transforms) for image in read_images(some, settings.limits)]
