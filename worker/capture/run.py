"""Producers for one or several cameras in one process: a thread and a connection each."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import structlog

from worker.capture.context import Context
from worker.capture.open import SourceOptions, open_source
from worker.capture.produce import ProduceOptions, produce
from worker.capture.source import Source
from worker.capture.tally import Count, Tally
from worker.capture.url import parse_source, show_source
from worker.errors import LineError, SourceError
from worker.settings import Settings
from worker.stream.publish import FramePublisher

_POLL_S = 0.2
_PAIR = re.compile(r"(?P<camera>[A-Za-z0-9_.-]{1,64})=(?P<source>.*)", re.DOTALL)
CountHook = Callable[[str, Count, int], None]


def _ignore(_camera: str, _what: Count, _amount: int) -> None:
    pass


def pair_sources(texts: Sequence[str], camera: str | None) -> dict[str, str]:
    """Camera names to sources, of one SOURCE (the camera is `camera`, else `c1`) or several CAMERA=SOURCE.

    Raises:
        SourceError: a source of several has no camera, or two have the same one.
    """
    if len(texts) == 1 and (camera or not _is_pair(texts[0])):
        return {_check_camera(camera or "c1"): texts[0]}
    if camera:
        raise SourceError("--camera names one source; write several as c1=./left c2=./right")
    pairs: dict[str, str] = {}
    for text in texts:
        match = _PAIR.fullmatch(text)
        if match is None or not _is_pair(text):
            shown = show_source(parse_source(text))
            raise SourceError(f"source {shown}: name its camera, as in c1={shown}, since there are several")
        if match["camera"] in pairs:
            raise SourceError(f"camera {match['camera']} is named twice")
        pairs[match["camera"]] = match["source"]
    return pairs


def _is_pair(text: str) -> bool:
    return _PAIR.fullmatch(text) is not None and not Path(text).exists()


def _check_camera(camera: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", camera):
        raise SourceError(f"camera {camera!r}: 1 to 64 of A-Z a-z 0-9 _ . - are allowed")
    return camera


def run_produce(
    settings: Settings,
    sources: dict[str, str],
    source_options: SourceOptions,
    produce_options: ProduceOptions,
    *,
    stop: threading.Event,
    on_count: CountHook = _ignore,
) -> dict[str, Tally]:
    """Publish from all `sources` (camera name → source text) until they end or `stop` is set.

    One camera that fails does not hold up the others; its error is raised when they are done.

    Args:
        produce_options: for each camera, whose name takes the place of the one in it.
        on_count: called with (camera, kind, amount) at every count.

    Returns:
        Each camera's tally; each is logged too, when its camera is done.

    Raises:
        SourceError: a source cannot be opened (at once, before anything is published), or failed on the way.
        StreamError: Redis refuses for good.
    """
    producers: list[_Producer] = []
    try:
        for camera, text in sources.items():
            tally = Tally(partial(on_count, camera))
            context = Context(stop=stop, tally=tally, log=structlog.get_logger().bind(camera=camera))
            source = open_source(text, source_options, context)
            options = replace(produce_options, camera=camera)
            producers.append(_Producer(settings, source, options, context))
            context.log.info("producing", source=show_source(parse_source(text)))
    except LineError:
        for producer in producers:
            producer.source.close()
        raise
    _run_all(producers)
    return {producer.options.camera: producer.context.tally for producer in producers}


class _Producer(threading.Thread):
    """One camera's loop, with a connection of its own."""

    def __init__(self, settings: Settings, source: Source, options: ProduceOptions, context: Context) -> None:
        super().__init__(name=f"produce {options.camera}")
        self.settings, self.source, self.options, self.context = settings, source, options, context
        self.error: Exception | None = None

    def run(self) -> None:
        log = self.context.log
        try:
            with closing(FramePublisher(self.settings)) as publisher:
                produce(self.source, publisher.publish, self.options, self.context)
        except Exception as error:
            log.error("producer failed", error=str(error), exc_info=not isinstance(error, LineError))
            self.error = error
        log.info("produced", **self.context.tally.summarize())


def _run_all(producers: Sequence[_Producer]) -> None:
    for producer in producers:
        producer.start()
    for producer in producers:
        while producer.is_alive():  # a join without a time-out would hold back Python's signal handlers
            producer.join(_POLL_S)
    for producer in producers:
        if producer.error is not None:
            raise producer.error
