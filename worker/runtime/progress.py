"""A worker's progress stamps, in a small shared file: how its supervisor sees that it is alive.

Each stage stamps its own place in its own loop. A side thread that stamped for all would say that a worker is
well while its device hangs.
"""

from __future__ import annotations

import mmap
import struct
import time
from pathlib import Path

from worker.runtime.reserve import reserve

STAGES = ("reader", "device", "publisher")
_FIELDS = (*STAGES, "busy_s", "finished", "ready")
_DOUBLE = struct.Struct("d")


class Progress:
    """Six doubles: a monotonic stamp a stage, seconds of device work, frames finished, when it was ready.

    CLOCK_MONOTONIC is the same for all processes of a machine, so stamps compare across them.

    Raises:
        SettingsError: there is no room for the file.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            reserve(path, _DOUBLE.size * len(_FIELDS))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)

    def reset(self) -> None:
        """Begin a new life: every stage is stamped now, nothing is finished."""
        for field in _FIELDS:
            self._write(field, time.monotonic() if field in STAGES else 0.0)

    def stamp(self, stage: str) -> None:
        """Say that `stage` goes on."""
        self._write(stage, time.monotonic())

    def mark_ready(self) -> None:
        """Say that the model is loaded and warm. The stages begin now; how long the start took is not theirs."""
        for stage in STAGES:
            self.stamp(stage)
        self._write("ready", time.monotonic())

    def add_busy(self, seconds: float) -> None:
        """Count device work."""
        self._write("busy_s", self.busy_s + seconds)

    def add_finished(self, frames: int) -> None:
        """Count frames that were ended."""
        self._write("finished", self.finished + frames)

    @property
    def ready(self) -> bool:
        """Whether the worker is loaded and warm."""
        return self._read("ready") > 0

    @property
    def ready_for_s(self) -> float:
        """Seconds since the worker was ready; 0 where it never was."""
        return time.monotonic() - self._read("ready") if self.ready else 0.0

    @property
    def busy_s(self) -> float:
        """Seconds of device work in this life."""
        return self._read("busy_s")

    @property
    def finished(self) -> float:
        """Frames ended in this life."""
        return self._read("finished")

    def stalest(self) -> tuple[str, float]:
        """The stage that was silent longest, and its last stamp."""
        return min(((stage, self._read(stage)) for stage in STAGES), key=lambda pair: pair[1])

    def _write(self, field: str, value: float) -> None:
        _DOUBLE.pack_into(self._map, _FIELDS.index(field) * _DOUBLE.size, value)

    def _read(self, field: str) -> float:
        return float(_DOUBLE.unpack_from(self._map, _FIELDS.index(field) * _DOUBLE.size)[0])
