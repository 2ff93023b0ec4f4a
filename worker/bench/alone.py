"""The device without a line around it: `python -m worker.bench.alone`, started by the benchmark only.

Loads the model as a worker does, and then answers how many frames a second go through the engine (`engine`), or are
decoded, preprocessed and inferred (`limit`).
"""

from __future__ import annotations

import itertools
import queue
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy.typing as npt

from worker.bench.frames import read_frames
from worker.bench.talk import Answer, Message, serve
from worker.devices import check_cores, parse_devices, pin
from worker.inference.decode import decode
from worker.inference.predictor import Predictor
from worker.inference.selection.choose import open_chosen
from worker.runtime.reader import decode_threads
from worker.settings import Settings, from_json
from worker.types import Frame

Input = npt.NDArray[Any]

_BATCHES_AHEAD = 3  # as many as a worker has in hand
_WARM_UP = 3  # batches
_SINGLES = 30  # frames that go through the engine one by one
_PATIENCE_S = 0.1


def main(order: Message) -> tuple[Message, Answer]:
    """Load the model; `order` has settings, device, and the folder with the frames."""
    import cv2

    settings, device = from_json(order["settings"]), parse_devices(order["device"])[0]
    check_cores(device)
    pin(device)
    cv2.setNumThreads(1)  # as in a worker
    predictor, choice = open_chosen(settings, device)
    predictor.warm_up(settings.batch.max_batch)
    alone = Alone(settings, predictor, Path(order["frames"]))
    engine = predictor.engine
    chosen = {"engine": engine.name, "precision": engine.precision, "versions": _versions(engine.name)}
    return chosen | {"candidates": choice.as_dict()["candidates"]}, alone.answer


class Alone:
    """Measures one predictor."""

    def __init__(self, settings: Settings, predictor: Predictor, folder: Path) -> None:
        self._settings = settings
        self._predictor = predictor
        self._max_batch = settings.batch.max_batch
        self._frames = {shape.name: read_frames(folder, shape.name) for shape in folder.iterdir()}

    def answer(self, question: Message) -> Message:
        """`{"engine": seconds}` or `{"limit": seconds, "shape": name}` → fps; `{"single": 0}` → ms."""
        if "single" in question:
            return {"ms": self._single_ms()}
        if "engine" in question:
            return {"fps": self._engine_fps(question["engine"])}
        return {"fps": self._limit_fps(question["shape"], question["limit"])}

    def _single_ms(self) -> float:
        """The engine's time for a frame that comes alone: the median."""
        times = []
        for frame in itertools.islice(self._any_frames(), _SINGLES):
            prepared = self._predictor.preprocess(decode(frame, self._settings.limits))
            began = time.perf_counter()
            self._predictor.infer([prepared])
            times.append((time.perf_counter() - began) * 1e3)
        return statistics.median(times)

    def _engine_fps(self, seconds: float) -> float:
        frames = itertools.islice(self._any_frames(), self._max_batch * _BATCHES_AHEAD)
        inputs = [self._predictor.preprocess(decode(frame, self._settings.limits)) for frame in frames]
        batches = itertools.cycle([inputs[at::_BATCHES_AHEAD] for at in range(_BATCHES_AHEAD)])
        return self._rate(lambda: len(self._predictor.infer(next(batches))), seconds)

    def _limit_fps(self, shape: str, seconds: float) -> float:
        """Decoding threads on one side, the device on the other, a bounded queue of prepared frames between them."""
        with self._prepared(self._frames[shape]) as get:
            return self._rate(lambda: len(self._predictor.infer([get() for _ in range(self._max_batch)])), seconds)

    @contextmanager
    def _prepared(self, frames: list[Frame]) -> Iterator[Callable[[], Input]]:
        ready: queue.Queue[Input] = queue.Queue(self._max_batch * _BATCHES_AHEAD)
        stop = threading.Event()
        source = itertools.cycle(frames)  # its `next` is one step under the GIL

        def prepare() -> None:
            while not stop.is_set():
                prepared = self._predictor.preprocess(decode(next(source), self._settings.limits))
                while not stop.is_set():
                    try:
                        ready.put(prepared, timeout=_PATIENCE_S)
                        break
                    except queue.Full:
                        continue

        threads = [threading.Thread(target=prepare) for _ in range(decode_threads(self._settings.work))]
        for thread in threads:
            thread.start()
        try:
            yield ready.get
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def _rate(self, step: Callable[[], int], seconds: float) -> float:
        """Frames a second of a step that says how many it took: from the end of one step to the end of another."""
        for _ in range(_WARM_UP):
            step()
        count, began = 0, time.perf_counter()
        while (took := time.perf_counter() - began) < seconds or not count:
            count += step()
        return count / took

    def _any_frames(self) -> Iterator[Frame]:
        return itertools.cycle(next(iter(self._frames.values())))


def _versions(engine: str) -> dict[str, str]:
    package = {"paddle": "paddlepaddle"}.get(engine, engine)
    try:
        return {package: version(package)}
    except PackageNotFoundError:  # a build under another name
        return {}


if __name__ == "__main__":
    serve(main)
