"""The processes that measure without a line: one for each device, at work at the same time, and PaddleX."""

from __future__ import annotations

import statistics
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from worker.bench.talk import Message, Talker
from worker.bench.variants import Variant, environment_for
from worker.devices import parse_devices
from worker.settings import Settings, inherited_environment, to_json

_LOADED_WITHIN_S = 600.0  # a device may compile the model for itself, and try what it could choose
_SPARE_S = 120.0


class Crew:
    """One `worker.bench.alone` a device."""

    def __init__(self, talkers: list[Talker], ready: list[Message]) -> None:
        self._talkers = talkers
        each = [Variant(one["engine"], one["precision"]) for one in ready]
        self.chosen, self.all_chosen = each[0], set(each)
        self.versions: dict[str, str] = ready[0]["versions"]
        self.candidates: list[Message] = ready[0]["candidates"]

    def engine_fps(self, seconds: float) -> float:
        """Prepared batches through all devices: frames a second, summed."""
        return float(sum(answer["fps"] for answer in self._ask({"engine": seconds}, seconds)))

    def limit_fps(self, shape: str, seconds: float) -> float:
        """Decode, preprocess and infer on all devices: frames a second, summed."""
        return float(sum(answer["fps"] for answer in self._ask({"limit": seconds, "shape": shape}, seconds)))

    def single_ms(self) -> float:
        """A frame that comes alone: its ms in the device, the median of all devices."""
        return statistics.median(float(answer["ms"]) for answer in self._ask({"single": 0}, 0))

    def _ask(self, question: Message, seconds: float) -> list[Message]:
        for talker in self._talkers:
            talker.tell(question)
        return [talker.hear(seconds + _SPARE_S) for talker in self._talkers]


@contextmanager
def open_crew(settings: Settings, frames: Path, folder: Path, stop: threading.Event) -> Iterator[Crew]:
    """Load the model on every device, one after the other, so that what one finds out is there for the next.

    Raises:
        LineError: a device, an engine or a precision is not to be had here.
    """
    command = [sys.executable, "-P", "-m", "worker.bench.alone"]
    with ExitStack() as stack:
        talkers, ready = [], []
        for number, device in enumerate(parse_devices(settings.devices)):
            environment = environment_for(device, folder)
            talker = stack.enter_context(Talker(f"alone{number}", command, environment, folder, stop))
            order = {"settings": to_json(settings), "device": str(device), "frames": str(frames)}
            ready.append(talker.ask(order, _LOADED_WITHIN_S))
            talkers.append(talker)
        yield Crew(talkers, ready)


class PaddleX:
    """PaddleX's predict loop in a Python of its own."""

    def __init__(self, talker: Talker) -> None:
        self._talker = talker
        self.versions: dict[str, str] = talker.hear(_LOADED_WITHIN_S)["versions"]

    def fps(self, seconds: float) -> float:
        """Files that it predicts a second."""
        return float(self._talker.ask({"seconds": seconds}, seconds + _SPARE_S)["fps"])


@contextmanager
def open_paddlex(
    python: Path | None, model: Path, frames: Path, folder: Path, stop: threading.Event
) -> Iterator[PaddleX | None]:
    """The loop, ready; None where no Python is named.

    Raises:
        LineError: this Python has no PaddleX, or it does not run the model.
    """
    if python is None:
        yield None
        return
    command = [str(python), str(Path(__file__).with_name("paddlex_loop.py")), str(model), str(frames)]
    # What our Python is told of where to find things is not for another one.
    environment = {name: value for name, value in inherited_environment().items() if not name.startswith("PYTHON")}
    with Talker("paddlex", command, environment, folder, stop) as talker:
        yield PaddleX(talker)
