"""`line-worker optimize`: makes a model folder fast on other engines, and says what runs it best here."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from worker.cli.common import settings_options
from worker.devices import parse_devices
from worker.errors import EngineRefused, SettingsError
from worker.settings import Settings
from worker.types import Image

if TYPE_CHECKING:
    from worker.inference.bundle import Bundle
    from worker.inference.selection.choose import Candidate

_CAPTION = "ms a frame in full batches; against paddle fp32: rank correlation, largest and median error, verdict flips"
_LEAST_PHOTOGRAPHS = 8
_PHOTOGRAPHS = 160  # read at most: half for the ranges of int8, a quarter to correct it by, a quarter as golden frames


@click.command(
    epilog="""\b
Examples:
  line-worker optimize ./model --images ./good   golden frames, ONNX graph, int8; then which engine is best here
  line-worker optimize ./model                   the ONNX graph alone, as for an export of PaddleX's

Half of the images are for the ranges of int8, a quarter correct its scores, a quarter become golden frames: no engine
is used whose scores of them are not paddle's in fp32. `run` converts and measures by itself at its first start, but for
int8 and for golden frames of your own parts."""
)
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--images", type=click.Path(path_type=Path), help="Folder of good images, to its leaves.")
@click.option("--devices", metavar="LIST", help="For what device to choose, as for `run`: cpu, cpu:0, gpu:0 …")
@settings_options({"devices": "devices"})
def optimize(model: Path, images: Path | None, settings: Settings) -> None:
    """Add to a model folder what other engines need, and show which engine and precision is chosen on this machine."""
    from worker.inference.bundle import load_bundle
    from worker.inference.conversion import can_convert
    from worker.inference.optimise import optimise
    from worker.inference.selection.choose import fastest, look_at_all

    console = Console(stderr=True)
    pictures = _pictures(images, load_bundle(model), settings) if images else []
    if not pictures and not can_convert():
        raise SettingsError(
            "nothing can be made: the ONNX graph takes line-worker[export], golden frames take --images"
        )
    if 0 < len(pictures) < _LEAST_PHOTOGRAPHS:
        raise SettingsError(f"--images {images}: {len(pictures)} are too few, wanted at least {_LEAST_PHOTOGRAPHS}")
    with console.status("converting"):
        written = optimise(model, pictures[::2], pictures[1::2])
    console.print(f"written to {model}: {', '.join(written)}")
    device = parse_devices(settings.devices)[0]
    with console.status(f"measuring on {device}"):
        _, candidates = look_at_all(load_bundle(model), device, settings)
    chosen = fastest(candidates)
    console.print(_table(candidates, chosen))
    for one in candidates:
        if one.refused:
            console.print(f"{one.variant} refused: {one.refused}")
    if chosen is None:
        raise EngineRefused(f"{model}: no engine on {device} passes the gate")
    click.echo(str(chosen.variant))


def _pictures(folder: Path, bundle: Bundle, settings: Settings) -> list[Image]:
    """Some photographs from all over the folder, at the model's size."""
    from worker.inference.preprocess import resized
    from worker.inference.selection.golden import places
    from worker.training.data import find_images, read_images

    paths = find_images(folder)
    some = [paths[place] for place in places(len(paths), _PHOTOGRAPHS)]
    return [resized(image, bundle.transforms) for image in read_images(some, settings.limits)]


def _table(candidates: list[Candidate], chosen: Candidate | None) -> Table:
    table = Table("engine", "precision", "ms", "rank", "error", "shift", "flips", "", caption=_CAPTION)
    for one in sorted(candidates, key=lambda one: one.frame_ms):
        parity = one.parity
        figures = [f"{one.frame_ms:.2f}" if one.frame_ms < math.inf else ""]
        figures += [f"{parity.rank_correlation:.5f}"] if parity else [""]
        shares = (parity.largest_error, parity.shift, parity.flips) if parity else ()
        figures += [f"{share:.2%}" for share in shares] or [""] * 3
        verdict = "refused" if one.refused else "chosen" if one is chosen else "passes"
        table.add_row(one.variant.engine, one.variant.precision, *figures, verdict)
    return table
