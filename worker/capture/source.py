"""What a source is: an iterator of pictures that can be closed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from worker.types import Encoding

BgrImage = npt.NDArray[np.uint8]
"""H×W×3, BGR (OpenCV's order), uint8."""


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture as a source hands it over: decoded in `image`, or as a file's own bytes in `data`.

    `captured_at` is unix nanoseconds: when the picture arrived here. `name` tells it from the source's other
    pictures (a file's stem). `encoding` is that of `data`; None: one that cannot travel (TIFF), or no data.
    `settled` is called once the line has taken the picture, dropped it, or will never take it; not where the producer
    was stopped before.
    """

    captured_at: int
    name: str
    image: BgrImage | None = None
    data: bytes = b""
    encoding: Encoding | None = None
    part_id: str = ""
    settled: Callable[[], None] = _nothing


class Source(Protocol):
    """Where pictures come from. Iterate once; `close` may be called at any time and more than once.

    Iterating raises SourceError where the source cannot be read and waiting would not mend it.
    """

    def __iter__(self) -> Iterator[Picture]:
        """The pictures in order; ends at the end of a file, or when the producer is told to stop."""
        ...

    def close(self) -> None:
        """Let go of the camera or file."""
        ...
