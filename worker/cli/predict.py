"""`line-worker predict` and `get-pipeline-config`: PaddleX's command line, in batches."""

from __future__ import annotations

import io
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from worker.cli.common import option
from worker.errors import LineError

if TYPE_CHECKING:
    from worker.pipeline import AnomalyDetectionPipeline, AnomalyResult

_STYLES = ("mask", "overlay", "heatmap")


@click.command(
    epilog="""\b
Examples:
  line-worker predict --pipeline anomaly_detection --input part.jpg --device cpu --save_path ./output
  line-worker predict --pipeline ./my_path/anomaly_detection.yaml --input ./photos --batch_size 8
  line-worker predict --model_dir ./model --input ./photos --style overlay --save_path ./looked-at --use_hpip

Each picture's result is a line on standard output, of JSON where that is no terminal. Flags win over the file of
--pipeline. Exit code 65: a picture could not be inspected, or its result not saved; the others were."""
)
@option("--pipeline", default="anomaly_detection", show_default=True, help="anomaly_detection, or a YAML file.")
@option("--input", "inputs", multiple=True, required=True, help="A picture, a folder or a URL; may be given again.")
@option("--save-path", type=click.Path(path_type=Path), help="Folder for pictures and JSON, or a file for one picture.")
@option("--style", type=click.Choice(_STYLES), default="mask", show_default=True, help="What the pictures show.")
@option("--model-dir", "--model", help="A model folder, or STFPM, the official model.")
@option("--device", help="cpu, cpu:0-3, gpu:0 …; gpu:0,1 shares the work over both.")
@option("--batch-size", type=click.IntRange(1, 256), help="Pictures a call of the device.")
@option("--use-hpip", "--enable-hpi", is_flag=True, default=None, help="The fastest engine and precision.")
@option("--engine", help="paddle, openvino, onnxruntime or auto.")
@option("--precision", help="fp32, bf16, fp16, int8 or auto.")
@option("--threshold", type=float, help="Overrides the model's own threshold.")
def predict(pipeline: str, inputs: tuple[str, ...], save_path: Path | None, style: Any, **options: Any) -> None:
    """Inspect pictures without a line: PaddleX's pipeline."""
    from worker.errors import FrameError, SettingsError

    given = {name: value for name, value in options.items() if value is not None}
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # file names may be anything
    save = None if save_path is None else Saver(save_path, style)
    with _opened(pipeline, given) as opened:
        pictures = list(opened.sources(list(inputs)))
        if save is not None and save.is_file and len(pictures) > 1:
            raise SettingsError(f"--save_path {save_path}: one file for {len(pictures)} pictures; name a folder")
        started = time.monotonic()
        told = Counter(_told(result, save) for result in _watched(opened.predict(pictures), len(pictures)))
        seconds = time.monotonic() - started
    if len(pictures) > 1:
        counts = "  ".join(f"{what} {count}" for what, count in sorted(told.items()))
        click.echo(f"{len(pictures)} pictures in {seconds:.1f} s: {counts}  ({opened.engine})", err=True)
    if told["failed"]:
        click.get_current_context().exit(FrameError.exit_code)


@click.command(
    "get-pipeline-config",
    epilog="""\b
Examples:
  line-worker get-pipeline-config anomaly_detection --save_path ./my_path
  line-worker predict --pipeline ./my_path/anomaly_detection.yaml --input part.jpg""",
)
@click.argument("pipeline")
@option("--save-path", type=click.Path(path_type=Path), default=Path(), help="Folder, or file.  [default: here]")
def get_pipeline_config(pipeline: str, save_path: Path) -> None:
    """Write a pipeline's YAML file, to be edited and given as --pipeline."""
    from worker.pipeline.config import write_template

    click.echo(write_template(pipeline, save_path))


def _watched(results: Iterator[AnomalyResult], count: int) -> Iterator[AnomalyResult]:
    """The results, with a bar where there are several pictures and somebody looks on."""
    from rich.console import Console

    from worker.cli.bars import progress_bars

    if count <= 1:
        yield from results
        return
    with progress_bars(Console(stderr=True)) as bar:
        task = bar.add_task("inspecting", total=count)
        for result in results:
            yield result
            bar.advance(task)


def _told(result: AnomalyResult, save: Saver | None) -> str:
    """Print and save one result; the word to count it by."""
    if sys.stdout.isatty():
        result.print(format_json=False)
    else:
        result.print(indent=None)
    try:
        if result.error is not None:
            raise result.error
        if save is not None:
            save(result)
    except LineError as error:
        click.echo(f"Error: {error}", err=True)
        return "failed"
    return str(result["verdict"])


class Saver:
    """Saves each result as PaddleX does, to a file or into a folder; of one name none takes another's place."""

    def __init__(self, path: Path, style: Any) -> None:
        from worker.pipeline.result import names_json, names_picture

        self._path = path
        self._is_json = names_json(path)
        self.is_file = self._is_json or names_picture(path)
        self._style = style
        self._names = Counter[str]()

    def __call__(self, result: AnomalyResult) -> None:
        path = self._path
        if not self.is_file:
            self._names[result.stem] += 1
            if (count := self._names[result.stem]) > 1:
                path = path / str(count)
                click.echo(f"{result.stem} was there before: saved below {path}", err=True)
        if not self._is_json:
            result.save_to_img(path, style=self._style)
        if self._is_json or not self.is_file:
            result.save_to_json(path)


def _opened(pipeline: str, options: dict[str, Any]) -> AnomalyDetectionPipeline:
    from rich.console import Console

    from worker import logs
    from worker.cli.bars import fetching_bar
    from worker.pipeline import create_pipeline
    from worker.settings import load

    logs.configure(load()[0].log, process="predict")
    with fetching_bar(Console(stderr=True), "the model") as fetched:
        return create_pipeline(pipeline, **options, progress=fetched)
