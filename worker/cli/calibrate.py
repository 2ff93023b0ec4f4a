"""`line-worker calibrate`: a new threshold for a model, from good frames alone, as a new version of its folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from worker.cli.bars import progress_bars
from worker.cli.common import settings_options
from worker.errors import SettingsError
from worker.settings import Settings

if TYPE_CHECKING:
    from worker.inference.bundle import Bundle
    from worker.training.calibration.scores import Scores

_PAINTED_ON = 24  # images, with nine defects each
_CAPTION = (
    "synthetic defects that are found at these thresholds. They are painted by the program: "
    "what share of your real defects is found, they cannot say"
)


@click.command(
    epilog="""\b
Examples:
  line-worker calibrate --model ./model --images ./good            writes ./model-v2
  line-worker calibrate --model ./model --images ./good --false-reject-rate 0.002 --output ./strict
  line-worker calibrate --model ./model --images ./good --per-camera      ./good/c1/*.png, ./good/c2/*.png …
  line-worker calibrate --model ./model --from-line 2000 --camera c1 --good-only
  line-worker history ./model-v2                                   what became of the model, and when

The images show good parts, and the model has not learned from them. To promise 1 % false rejects with 95 % confidence
takes 299 that differ; with fewer the command says what they can promise. The old folder stays as it is."""
)
@click.option("--model", type=click.Path(path_type=Path), help="The model folder; also LINE_MODEL.")
@click.option("--images", type=click.Path(path_type=Path), help="Folder of good images, to its leaves.")
@click.option(
    "--from-line", type=click.IntRange(1), metavar="N", help="The last N scores on a line, in place of images."
)
@click.option(
    "--camera", "cameras", multiple=True, metavar="NAME", help="With --from-line: of this camera alone; repeatable."
)
@click.option("--good-only", is_flag=True, help="With --from-line: all its parts were good, the rejected ones too.")
@click.option(
    "--false-reject-rate", type=float, default=0.01, show_default=True, help="Good parts that may be rejected."
)
@click.option("--confidence", type=float, default=0.95, show_default=True, help="With which that is promised.")
@click.option("--per-camera", is_flag=True, help="A threshold for each camera too; its images' folder has its name.")
@click.option("--synthetic", is_flag=True, help="Show how many painted defects are found: an estimate, no promise.")
@click.option(
    "--output", type=click.Path(path_type=Path), help="Folder to write; default: beside the model, -v2, -v3 …"
)
@settings_options({"model": "model"})
def calibrate(
    settings: Settings,
    images: Path | None,
    from_line: int | None,
    cameras: tuple[str, ...],
    good_only: bool,
    false_reject_rate: float,
    confidence: float,
    per_camera: bool,
    synthetic: bool,
    output: Path | None,
) -> None:
    """Set a model's threshold by good frames: the lowest that keeps to a promised rate of false rejects."""
    _check(images, from_line, cameras, good_only, synthetic)
    for name, share in (("false-reject-rate", false_reject_rate), ("confidence", confidence)):
        if not 1e-6 <= share <= 1 - 1e-6:
            raise SettingsError(f"--{name} {share}: must lie between 0.000001 and 0.999999")
    if settings.model is None:
        raise SettingsError("model: name a model folder with --model or LINE_MODEL")
    from worker.inference.bundle import load_bundle
    from worker.inference.history import CALIBRATED
    from worker.training.calibration.report import percent, report
    from worker.training.calibration.thresholds import find_thresholds
    from worker.training.versions import check_output, write_version

    bundle = load_bundle(settings.model)
    check_output(bundle.folder, output)
    console = Console(stderr=True, soft_wrap=True, markup=False)
    if images is not None:
        scores = _of_images(console, bundle, images, settings, per_camera)
    else:
        scores = _of_line(console, bundle, settings, from_line or 0, cameras, good_only)
    thresholds = find_thresholds(scores.scored, false_reject_rate, confidence, per_camera=per_camera)
    folder = write_version(
        bundle.folder,
        {
            "threshold": thresholds.common.threshold,
            "camera_thresholds": {name: one.threshold for name, one in thresholds.cameras.items()},
            "false_reject_target": false_reject_rate,
            "score_statistics": thresholds.common.statistics,
            "camera_statistics": {name: one.statistics for name, one in thresholds.cameras.items()},
        },
        action=CALIBRATED,
        note=f"for {percent(false_reject_rate)} false rejects with {percent(confidence)} confidence, "
        f"{len(scores.scored):,} frames by {scores.origin}",
        data_digest=scores.digest(),
        output=output,
    )
    for line in report(thresholds, false_reject_rate, bundle.threshold, bundle.camera_thresholds):
        console.print(line)
    if synthetic and images is not None:
        _try_synthetic(console, folder, images, settings, per_camera)
    click.echo(folder)


def _check(
    images: Path | None, from_line: int | None, cameras: Sequence[str], good_only: bool, synthetic: bool
) -> None:
    if (images is None) == (from_line is None):
        raise SettingsError("name good frames: either --images FOLDER or --from-line N")
    if from_line is None and (cameras or good_only):
        raise SettingsError("--camera and --good-only go with --from-line")
    if from_line is not None and synthetic:
        raise SettingsError("--synthetic paints on images, and a line keeps none: it goes with --images")


def _of_images(console: Console, bundle: Bundle, folder: Path, settings: Settings, per_camera: bool) -> Scores:
    from worker.training.calibration.scores import camera_folders, find_good_images, score_images, told

    paths = find_good_images(folder)
    cameras = camera_folders(folder, paths) if per_camera else [""] * len(paths)

    from worker.inference.predictor import Predictor

    predictor = Predictor.open(bundle.folder)  # takes paddle's seconds: only once the rest is well
    with progress_bars(console) as bar:
        task = bar.add_task("scoring", total=len(paths))
        scores = score_images(predictor, paths, cameras, settings, lambda: bar.advance(task))
    if scores.learned:
        console.print(f"left out, since the model learned from them: {scores.learned:,}")
    if scores.left_out:
        console.print(f"left out, since a running line would call them INVALID: {told(scores.left_out.items())}")
    return scores


def _of_line(
    console: Console, bundle: Bundle, settings: Settings, count: int, cameras: Sequence[str], good_only: bool
) -> Scores:
    from worker.stream.connection import connect
    from worker.stream.keys import LineKeys
    from worker.training.calibration.line import line_scores

    found = line_scores(
        connect(settings), LineKeys(settings.line), bundle.identity, count, cameras, good_only=good_only
    )
    taken = len(found.scores.scored)
    if taken < count:
        console.print(f"the line has {taken:,} such results, not {count:,}: keep.results says how many it keeps")
    if len(found.engines) > 1:
        console.print(f"scores of several engines, which differ a little: {found.scores.origin}")
    return found.scores


def _try_synthetic(console: Console, folder: Path, images: Path, settings: Settings, per_camera: bool) -> None:
    from worker.inference.predictor import Predictor
    from worker.inference.selection.golden import places
    from worker.training.calibration.recall import synthetic_recall
    from worker.training.calibration.scores import camera_folders, find_good_images
    from worker.training.synthetic import KINDS, STRENGTHS

    paths = find_good_images(images)
    cameras = camera_folders(images, paths) if per_camera else [""] * len(paths)
    some = places(len(paths), _PAINTED_ON)
    with progress_bars(console) as bar:
        task = bar.add_task("painting", total=len(some))
        recalls = synthetic_recall(
            Predictor.open(folder),
            [paths[place] for place in some],
            [cameras[place] for place in some],
            settings,
            lambda: bar.advance(task),
        )
    table = Table("painted", *STRENGTHS, caption=_CAPTION)
    for kind in KINDS:
        each = [recalls[kind, strength] for strength in STRENGTHS]
        table.add_row(kind, *[f"{one.found} of {one.painted}" for one in each])
    console.print(table)
