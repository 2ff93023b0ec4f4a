"""`line-worker evaluate`: what a model finds, misses and wrongly rejects, on images of which the truth is known."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from worker.cli.bars import progress_bars
from worker.cli.common import settings_options
from worker.devices import Device, child_environment, parse_devices, pin
from worker.errors import SettingsError
from worker.settings import Settings

if TYPE_CHECKING:
    from worker.inference.predictor import Predictor
    from worker.training.dataset.samples import Dataset
    from worker.training.evaluation.evaluate import Evaluation

_FOLDER = click.Path(path_type=Path)
_WIDTH = 120  # of a table that goes to a file or a pipe


@click.command(
    epilog="""\b
Examples:
  line-worker evaluate --model ./model --data ./parts                     a table
  line-worker evaluate --model ./model --data ./parts --output ./report   report.html and evaluation.json too
  line-worker evaluate --model ./model --data ./parts --json | jq .all.image_auroc
  line-worker evaluate --model ./model --data ./good                      good images alone: the false rejects
  line-worker evaluate --model ./model --data ./parts --engine auto --precision auto     as `run` would serve it

--data is in MVTec AD's layout (test/KIND/*, ground_truth/KIND/*), has PaddleX's lists (val.txt), or is a plain folder
of good images. Score, verdict and checks of the image are those of a line. report.html takes line-worker[report]."""
)
@click.option("--model", type=_FOLDER, help="The model folder; also LINE_MODEL.")
@click.option("--data", type=_FOLDER, required=True, help="Folder of the data set.")
@click.option("--layout", type=click.Choice(["auto", "mvtec", "paddlex", "plain"]), default="auto", show_default=True)
@click.option("--output", type=_FOLDER, help="Folder to write evaluation.json and report.html to.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of the table.")
@click.option("--threshold", type=float, help="Overrides the model's own threshold.")
@click.option("--engine", default="paddle", show_default=True, help="auto, paddle, openvino or onnxruntime.")
@click.option("--precision", default="fp32", show_default=True, help="auto, fp32, bf16, fp16 or int8.")
@click.option("--devices", metavar="LIST", help="Where to run it: the first of cpu, cpu:0-3, gpu:0 …")
@settings_options(
    {
        "model": "model",
        "threshold": "threshold",
        "engine": "engine",
        "precision": "precision",
        "devices": "devices",
    }
)
def evaluate(*, data: Path, layout: str, output: Path | None, as_json: bool, settings: Settings) -> None:
    """Judge the test images of a data set with a model, and say how well that went.

    Per kind of defect: image AUROC and average precision, pixel AUROC and PRO where there are masks, and at the
    threshold in force what is found and what is missed; over all: false rejects and the best F1. Intervals are 95 %.
    """
    from worker.training.dataset.samples import Layout
    from worker.training.evaluation.document import document
    from worker.training.evaluation.evaluate import open_tests
    from worker.training.evaluation.output import DOCUMENT, prepare, write_new
    from worker.training.evaluation.table import show

    messages = Console(stderr=True)
    if output is not None:
        prepare(output)
    dataset = open_tests(data, None if layout == "auto" else Layout(layout), settings.limits)
    device = parse_devices(settings.devices)[0]
    predictor = _open(settings, device)
    found = _judge(predictor, dataset, settings, device, messages)
    text = json.dumps(document(found), indent=2, allow_nan=False)
    if as_json:
        click.echo(text)
    else:
        show(Console(width=None if Console().is_terminal else _WIDTH), found)
    if output is not None:
        write_new(output / DOCUMENT, text + "\n")
        _write_report(output, found, predictor, settings, messages)


def _open(settings: Settings, device: Device) -> Predictor:
    """The model on the device: paddle in fp32 as it is, anything else by the way of a worker, its gate included."""
    from worker import logs
    from worker.inference.engines import REFERENCE
    from worker.inference.predictor import Predictor
    from worker.inference.selection.choose import open_chosen

    if settings.model is None:
        raise SettingsError("model: name a model folder with --model or LINE_MODEL")
    pin(device)
    if device.kind != "cpu":
        os.environ.update(child_environment(device, {}))  # the framework, not loaded yet, shall see no other
    if (settings.engine, settings.precision) == (REFERENCE.engine, REFERENCE.precision):
        return Predictor.open(settings.model, device, threshold=settings.threshold)
    logs.configure(settings.log, process="evaluate")  # what is chosen and refused is logged: not into our output
    return open_chosen(settings, device)[0]


def _judge(predictor: Predictor, dataset: Dataset, settings: Settings, device: Device, console: Console) -> Evaluation:
    from worker.training.evaluation.evaluate import evaluate, tests_of

    with progress_bars(console) as bar:
        task = bar.add_task("judging", total=len(tests_of(dataset)))
        return evaluate(
            predictor, dataset, settings, device=str(device), progress=lambda done: bar.update(task, completed=done)
        )


def _write_report(output: Path, found: Evaluation, predictor: Predictor, settings: Settings, console: Console) -> None:
    from worker.training.evaluation.output import DOCUMENT, REPORT, write_new
    from worker.training.evaluation.report import missing_packages, render
    from worker.training.names import printable

    written = [DOCUMENT]
    if missing := missing_packages():
        console.print(
            f"no {REPORT}: it takes {' and '.join(missing)}: pip install 'line-worker\\[report]'", highlight=False
        )
    else:
        with console.status("writing the report"):
            write_new(output / REPORT, render(found, predictor, settings.limits))
        written.append(REPORT)
    console.print(
        printable(f"written to {output}: {', '.join(written)}"), highlight=False, markup=False, soft_wrap=True
    )
