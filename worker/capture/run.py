"""Producers for one or several cameras in one process: a thread and a connection each."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import structlog

from worker.capture.context import Context
from worker.capture.open import SourceOptions, open_source
from worker.capture.outage import Backoff, Outage, retry
from worker.capture.produce import ProduceOptions, produce
from worker.capture.source import Source
from worker.capture.tally import Count, Tally
from worker.capture.url import parse_source, show_source
from worker.errors import LineError, SourceError
from worker.settings import Settings
from worker.stream.publish import FramePublisher

_POLL_S = 0.2
_BETWEEN_TRIES = Backoff(first_s=2.0, longest_s=60.0)
_PAIR = re.compile(r"(?P<camera>[A-Za-z0-9_.-]{1,64})=(?P<source>.*)", re.DOTALL)
CountHook = Callable[[str, Count, int], None]


@dataclass(frozen=True, slots=True)
class Camera:
    """One camera of several: where its pictures come from and how they become frames. `policy` None: the line's."""

    source: str
    source_options: SourceOptions
    produce_options: ProduceOptions
    policy: Literal["block", "drop-oldest", "drop-newest"] | None = None

    def settings(self, of_line: Settings) -> Settings:
        """The line's, with the camera's own policy."""
        if self.policy is None:
            return of_line
        return of_line.model_copy(update={"queue": of_line.queue.model_copy(update={"policy": self.policy})})


def watched_file(settings: Settings, camera: str) -> Path:
    """Where it is kept which pictures of a camera's watched folder were published."""
    return settings.state_folder / "published" / settings.line / f"{camera}.jsonl"


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
    cameras = [
        Camera(text, source_options, replace(produce_options, camera=camera)) for camera, text in sources.items()
    ]
    producers = [_Producer(settings, camera, stop, on_count) for camera in cameras]
    try:
        for producer in producers:
            producer.open()
    except LineError:
        for producer in producers:
            producer.close()
        raise
    _run_all(producers)
    return {producer.name: producer.context.tally for producer in producers}


def run_cameras(
    settings: Settings, cameras: Sequence[Camera], *, stop: threading.Event, on_count: CountHook = _ignore
) -> dict[str, Tally]:
    """Publish from all `cameras` until `stop` is set, as a service does.

    A source that cannot be opened is tried again, while the others run. Cameras that have come to their end leave the
    process running: whoever restarts an ended one would publish everything again.

    Returns:
        Each camera's tally.

    Raises:
        LineError: a camera failed for good, and none is left.
    """
    producers = [_Producer(settings, camera, stop, on_count, waits=True) for camera in cameras]
    _run_all(producers)
    if not stop.is_set():
        structlog.get_logger().info("all cameras have come to their end; waiting to be stopped")
        stop.wait()
    return {producer.name: producer.context.tally for producer in producers}


class _Producer(threading.Thread):
    """One camera's loop, with a connection of its own. `waits`: for a source that cannot be opened."""

    def __init__(
        self, settings: Settings, camera: Camera, stop: threading.Event, on_count: CountHook, waits: bool = False
    ) -> None:
        name = camera.produce_options.camera
        super().__init__(name=name)
        tally = Tally(partial(on_count, name))
        self.context = Context(stop=stop, tally=tally, log=structlog.get_logger().bind(camera=name))
        self.error: Exception | None = None
        self._settings, self._camera, self._waits = camera.settings(settings), camera, waits
        self._source: Source | None = None

    def open(self) -> Source:
        """Open the source, unless it is open.

        Raises:
            SourceError: it cannot be opened.
        """
        if self._source is None:
            self._source = open_source(self._camera.source, self._camera.source_options, self.context)
            self.context.log.info("producing", source=show_source(parse_source(self._camera.source)))
        return self._source

    def close(self) -> None:
        """Close the source, where it is open."""
        if self._source is not None:
            self._source.close()
            self._source = None

    def run(self) -> None:
        log = self.context.log
        try:
            with closing(FramePublisher(self._settings)) as publisher:
                while not self._is_done(publisher):
                    self.context.clock.wait(_BETWEEN_TRIES.longest_s, self.context.stop)
        except Exception as error:
            if not (self._waits and isinstance(error, SourceError) and self.context.stop.is_set()):
                log.error("producer failed", error=str(error), exc_info=not isinstance(error, LineError))
                self.error = error
        log.info("produced", **self.context.tally.summarize())

    def _is_done(self, publisher: FramePublisher) -> bool:
        """Publish all that the source has; False where it turned out to have nothing that can be read, for now."""
        if self._waits:
            retry(self.open, SourceError, Outage("source", "outages", self.context), _BETWEEN_TRIES, self.context.stop)
        try:
            produce(self.open(), publisher.publish, self._camera.produce_options, self.context)
        except SourceError as error:
            if not self._waits:
                raise
            self.context.log.warning("source failed, trying again", error=str(error))
            return False
        finally:
            self.close()
        return True


def _run_all(producers: Sequence[_Producer]) -> None:
    for producer in producers:
        producer.start()
    for producer in producers:
        while producer.is_alive():  # a join without a time-out would hold back Python's signal handlers
            producer.join(_POLL_S)
    for producer in producers:
        if producer.error is not None:
            raise producer.error
