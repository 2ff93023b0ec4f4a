"""The test source: generated parts, the same for the same seed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import cv2

from worker.capture.context import Context
from worker.capture.faults import picture_with_fault
from worker.capture.generated import GeneratedLine, Schedule
from worker.capture.source import Picture
from worker.capture.url import TestUrl


class PartsSource:
    """Parts number `start` and up, named and identified as `part-000042`; `count` of them, 0 without end."""

    def __init__(self, url: TestUrl, start: int, loop: bool, context: Context) -> None:
        self._line = GeneratedLine(url.seed, url.size, Schedule(url.cycle))
        self._numbers = range(start, start + url.count) if url.count else itertools.count(start)
        self._fault, self._loop, self._context = url.fault, loop, context

    def __iter__(self) -> Iterator[Picture]:
        for number in itertools.cycle(self._numbers) if self._loop else self._numbers:
            if self._context.stop.is_set():
                return
            picture = picture_with_fault(self._line, number, self._fault)
            image = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
            name = f"part-{number:06d}"
            yield Picture(self._context.clock.time_ns(), name, image=image, part_id=name)

    def close(self) -> None:
        """Nothing is held open."""
