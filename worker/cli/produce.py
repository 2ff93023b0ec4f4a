"""`line-worker produce`: pictures from cameras and files onto the line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from worker.cli.common import settings_options, stop_on_signals
from worker.settings import Settings
from worker.types import Encoding

if TYPE_CHECKING:
    from worker.capture.open import SourceOptions
    from worker.capture.produce import ProduceOptions

_EPILOG = """\b
Examples:
  line-worker produce ./photos --camera c1
  line-worker produce 'photos/**/*.png' --camera c1 --part-id-from name
  line-worker produce line.mp4 --camera c1 --fps 10 --loop
  line-worker produce rtsp://user:password@192.168.1.9/main --camera c1 --fps 5
  line-worker produce '/dev/video0?width=1920&height=1080&fourcc=MJPG' --camera c1
  line-worker produce 0 --camera c1 --crop 100,0,800,800 --resize 512x512
  line-worker produce 'test://?seed=1&size=256&count=100' --camera c1
  line-worker produce left=rtsp://192.168.1.9/main right=/dev/video0 --quality 95
  line-worker produce ./incoming --camera c1 --watch
  line-worker produce --cameras configs/cameras.yml

\b
--watch publishes what is in a folder once, and what comes into it later too, over restarts.
--cameras takes each camera's source and options from a YAML file, and runs until it is stopped.
A camera that goes away is waited for and reported; --no-retry ends the command instead.
A camera faster than the line gives its newest pictures; those in between are counted as skipped.
When the queue is full, --policy says what happens: block (wait), drop-oldest or drop-newest.
"""


@click.command(epilog=_EPILOG)
@click.argument("sources", nargs=-1, metavar="[SOURCE | CAMERA=SOURCE...]")
@click.option("--cameras", "cameras_file", type=click.Path(path_type=Path), help="YAML file with the cameras.")
@click.option("--camera", metavar="NAME", help="Name of the camera of one SOURCE.  [default: c1]")
@click.option("--fps", type=float, default=0.0, help="Frames a second at most; 0: all, as fast as they come.")
@click.option(
    "--encoding",
    type=click.Choice([encoding.value for encoding in Encoding]),
    help="How frames travel.  [default: image files as they are, all else jpeg]",
)
@click.option("--quality", type=int, default=90, show_default=True, help="Of jpeg and webp, 1 to 100.")
@click.option("--crop", metavar="X,Y,W,H", help="Cut this box out, in pixels.")
@click.option("--resize", metavar="WxH", help="Scale to this size, after the crop.")
@click.option("--count", type=int, default=0, help="End after this many frames of each camera; 0: no limit.")
@click.option("--loop", is_flag=True, help="Start again at the end of the files.")
@click.option("--watch", is_flag=True, help="Wait for new pictures in a folder; publish each once.")
@click.option("--start-seq", type=int, default=0, show_default=True, help="Number of the first frame.")
@click.option(
    "--part-id-from",
    type=click.Choice(["source", "name"]),
    default="source",
    show_default=True,
    help="name: the file's name without its suffix is the part id; source: only test:// knows of parts.",
)
@click.option("--deadline-ms", type=int, default=0, help="A verdict later than this is LATE; 0: no deadline.")
@click.option("--policy", metavar="POLICY", help="When the queue is full: block, drop-oldest or drop-newest.")
@click.option("--retry/--no-retry", default=True, show_default=True, help="Wait for a camera that is away.")
@click.option(
    "--timeout",
    type=float,
    default=10.0,
    show_default=True,
    help="Seconds of silence: the stream is away.",
)
@settings_options(extra={"policy": "queue.policy"})
def produce(
    settings: Settings,
    sources: tuple[str, ...],
    cameras_file: Path | None,
    camera: str | None,
    watch: bool,
    **values: Any,
) -> None:
    """Publish pictures as frames.

    SOURCE is a folder, a glob, an image, a video, rtsp:// or http:// of a network camera, /dev/video0 or its
    number, or test:// for generated parts. Several at once: CAMERA=SOURCE each.

    On SIGTERM or Ctrl-C it ends with the frame in hand. A JSON line on standard output sums up each camera.
    """
    from worker import logs
    from worker.capture.cameras_file import read_cameras
    from worker.capture.measure import served_counts
    from worker.capture.run import pair_sources, run_cameras, run_produce

    if bool(cameras_file) == bool(sources):
        raise click.UsageError("Name a SOURCE, several CAMERA=SOURCE, or a file of them with --cameras.")
    logs.configure(settings.log, process="produce")
    stop = stop_on_signals()
    if cameras_file:
        _refuse_others()
        cameras = read_cameras(cameras_file, settings)
        with served_counts(settings) as count:
            tallies = run_cameras(settings, cameras, stop=stop, on_count=count)
    else:
        source_options, produce_options = _read_options(**values)
        pairs = pair_sources(sources, camera)
        if watch:
            source_options = _watching(source_options, pairs, settings)
        with served_counts(settings) as count:
            tallies = run_produce(settings, pairs, source_options, produce_options, stop=stop, on_count=count)
    click.echo(json.dumps({name: tally.summarize() for name, tally in tallies.items()}))


def _refuse_others() -> None:
    """Options of a camera beside a file that has them."""
    context = click.get_current_context()
    common = {"cameras_file", "config", "redis_url", "line", "log_level", "policy"}
    given = [
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name not in common
        and context.get_parameter_source(parameter.name or "") is click.core.ParameterSource.COMMANDLINE
        and isinstance(parameter, click.Option)
    ]
    if given:
        raise click.UsageError(f"{', '.join(given)}: with --cameras this is said in the file, for each camera.")


def _watching(options: SourceOptions, pairs: dict[str, str], settings: Settings) -> SourceOptions:
    from worker.capture.run import watched_file

    if options.loop or len(pairs) > 1 or not Path(*pairs.values()).expanduser().is_dir():
        raise click.UsageError("--watch is for one folder, and not together with --loop.")
    return replace(options, watched=watched_file(settings, *pairs))


def _read_options(
    *,
    fps: float,
    encoding: str | None,
    quality: int,
    crop: str | None,
    resize: str | None,
    count: int,
    loop: bool,
    start_seq: int,
    part_id_from: Literal["source", "name"],
    deadline_ms: int,
    retry: bool,
    timeout: float,
) -> tuple[SourceOptions, ProduceOptions]:
    from worker.capture.encode import EncodeOptions, parse_crop, parse_size
    from worker.capture.open import SourceOptions
    from worker.capture.produce import ProduceOptions

    encode = EncodeOptions(
        encoding=Encoding(encoding) if encoding else None,
        quality=quality,
        crop=parse_crop(crop) if crop else None,
        resize=parse_size(resize) if resize else None,
    )
    return SourceOptions(loop=loop, reconnect=retry, timeout_s=timeout, start=start_seq), ProduceOptions(
        fps=fps,
        count=count,
        start_seq=start_seq,
        deadline_ms=deadline_ms,
        part_id_from=part_id_from,
        encode=encode,
    )
