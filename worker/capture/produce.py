"""The producer's loop: picture → frame → line, at the wanted rate, until the source ends or `stop` is set."""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass, field
from typing import Literal, Protocol

from worker.capture.context import Context
from worker.capture.encode import EncodeOptions, encode
from worker.capture.outage import Backoff, Outage, retry
from worker.capture.pace import Pacer
from worker.capture.source import Picture, Source
from worker.capture.tally import Tally
from worker.errors import FrameError, SourceError, StreamUnavailable
from worker.types import Frame

_REPORT_SKIPPED_S = 60.0
_MAX_PART_ID = 128


class Receipt(Protocol):
    """What a publisher says of a frame; `worker.stream.publish.Published` is one."""

    @property
    def status(self) -> str:
        """`accepted` or `dropped`."""
        ...

    @property
    def evicted(self) -> int:
        """Older frames dropped to make room for this one."""
        ...


class Publish(Protocol):
    """Takes a frame to the line; after StreamUnavailable it may be called again with the same frame."""

    def __call__(self, frame: Frame, stop: threading.Event) -> Receipt:
        """Publish `frame`, giving up waiting for room once `stop` is set."""
        ...


# As patient as a worker: parts pass by uninspected for as long as a camera pauses though Redis is back.
_TO_REDIS = Backoff(first_s=0.1, longest_s=2.0)


@dataclass(frozen=True, slots=True)
class ProduceOptions:
    """How pictures become frames.

    `fps` 0: as fast as the source gives them. `count` 0: all. `seq` counts from `start_seq`. `deadline_ms`
    counts from when the picture was taken, 0: none. `part_id_from` "name" takes the picture's name (a file's
    stem) as part id; "source" only what the source itself knows of parts. `passes_misfits`: a picture that does not fit
    crop or encoding is counted as refused, instead of ending the producer.
    """

    camera: str = "c1"
    fps: float = 0.0
    count: int = 0
    start_seq: int = 0
    deadline_ms: int = 0
    part_id_from: Literal["source", "name"] = "source"
    passes_misfits: bool = False
    encode: EncodeOptions = field(default_factory=EncodeOptions)
    backoff: Backoff = _TO_REDIS

    def __post_init__(self) -> None:
        if not 0 <= self.fps <= 1000:
            raise SourceError(f"fps must be from 0 (as fast as possible) to 1000, got {self.fps}")
        if min(self.count, self.start_seq, self.deadline_ms) < 0:
            raise SourceError("count, start-seq and deadline-ms must not be negative")


def produce(source: Source, publish: Publish, options: ProduceOptions, context: Context | None = None) -> Tally:
    """Publish the source's pictures in order; close the source at the end.

    While Redis is away the same frame is tried again until it is back, so that no number is missing. A frame
    in hand when `context.stop` is set meanwhile is given up and counted as unsent.

    Args:
        context: the one that the source was opened with, so that its tally is complete.

    Returns:
        The tally.

    Raises:
        SourceError: the source cannot be read any more, or a picture does not fit the options.
        StreamError: Redis refuses for good.
    """
    context = context or Context()
    sender = _Sender(publish, options, context)
    watch = _SkipWatch(context)
    pacer = Pacer(options.fps, context.clock)
    last = options.start_seq + options.count if options.count else None
    pictures = iter(source)
    try:
        for seq in itertools.count(options.start_seq):
            pacer.wait(context.stop)
            if seq == last or context.stop.is_set() or (picture := next(pictures, None)) is None:
                break
            if _publish(picture, seq, sender, options, context):
                picture.settled()
            if not options.fps:  # a rate below the camera's means to skip
                watch.look()
    finally:
        source.close()
    return context.tally


def _publish(picture: Picture, seq: int, sender: _Sender, options: ProduceOptions, context: Context) -> bool:
    """Whether the line has decided on the picture, or it does not fit and never will."""
    try:
        frame = make_frame(picture, seq, options)
    except SourceError as error:
        if not options.passes_misfits:
            raise
        context.log.warning("picture refused", seq=seq, picture=picture.name, error=str(error))
        context.tally.add("refused")
        return True
    return sender.send(frame, picture.name)


def make_frame(picture: Picture, seq: int, options: ProduceOptions) -> Frame:
    """The frame for a picture.

    Raises:
        SourceError: the picture does not fit the crop or the encoding.
    """
    encoded = encode(picture, options.encode)
    return Frame(
        camera=options.camera,
        data=encoded.data,
        encoding=encoded.encoding,
        width=encoded.width,
        height=encoded.height,
        seq=seq,
        captured_at=picture.captured_at,
        part_id=picture.part_id or (_clean(picture.name) if options.part_id_from == "name" else ""),
        deadline_ms=options.deadline_ms,
    )


def _clean(name: str) -> str:
    # A frame with an unprintable or long part id is dead-lettered; a file may bear such a name all the same.
    return "".join(sign if sign.isprintable() else "?" for sign in name)[:_MAX_PART_ID]


class _Sender:
    """Hands frames over, rides out a Redis that is away, and counts."""

    def __init__(self, publish: Publish, options: ProduceOptions, context: Context) -> None:
        self._publish, self._backoff = publish, options.backoff
        self._stop, self._tally, self._log = context.stop, context.tally, context.log
        self._outage = Outage("redis", "stream_outages", context)

    def send(self, frame: Frame, name: str) -> bool:
        """Whether the line has decided on the frame: it was not given up because of `stop`."""

        def publish() -> Receipt:
            return self._publish(frame, self._stop)

        try:
            receipt = retry(publish, StreamUnavailable, self._outage, self._backoff, self._stop)
        except StreamUnavailable as error:
            self._log.warning("frame given up: stopped while redis was away", seq=frame.seq, error=str(error))
            self._tally.add("unsent")
            return False
        except FrameError as error:
            self._log.warning("frame refused", seq=frame.seq, picture=name, reason=error.reason, error=str(error))
            self._tally.add("refused")
            return True
        self._count(frame, receipt)
        return receipt.status != "dropped" or not self._stop.is_set()

    def _count(self, frame: Frame, receipt: Receipt) -> None:
        if receipt.evicted:
            self._tally.add("evicted", receipt.evicted)
        if receipt.status == "dropped":
            self._tally.add("dropped")
            return
        self._tally.add("published")
        self._tally.add("bytes", len(frame.data))


class _SkipWatch:
    """Says, at most once a minute, that the camera is faster than this producer."""

    def __init__(self, context: Context) -> None:
        self._tally, self._clock, self._log = context.tally, context.clock, context.log
        self._said = 0
        self._next = self._clock.monotonic() + _REPORT_SKIPPED_S

    def look(self) -> None:
        if self._clock.monotonic() < self._next:
            return
        self._next = self._clock.monotonic() + _REPORT_SKIPPED_S
        more = self._tally["skipped"] - self._said
        if more:
            self._log.warning("pictures skipped: the line is slower than the camera", count=more)
            self._said += more
