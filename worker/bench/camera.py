"""The benchmark's camera: `python -m worker.bench.camera`, started by the benchmark only.

Publishes frames that it holds in memory from `{"shape": …, "fps": …, "max_frames": …}` until the next line, in turn
and with the policy `block`; fps 0: as fast as the queue takes them.
"""

from __future__ import annotations

import itertools
import threading
from dataclasses import replace
from pathlib import Path

from worker.bench.frames import read_frames
from worker.bench.talk import Answer, Message, serve
from worker.capture.pace import Pacer, SystemClock
from worker.settings import Settings, from_json
from worker.stream.publish import FramePublisher
from worker.types import Frame


def main(order: Message) -> tuple[Message, Answer]:
    """Read the frames; `order` has settings and the folder with the frames."""
    folder = Path(order["frames"])
    frames = {shape.name: read_frames(folder, shape.name) for shape in folder.iterdir()}
    camera = Camera(from_json(order["settings"]), frames)
    return {}, camera.answer


class Camera:
    """Publishes in a thread of its own."""

    def __init__(self, settings: Settings, frames: dict[str, list[Frame]]) -> None:
        self._settings = settings
        self._frames = frames
        self._seq = itertools.count()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None

    def answer(self, order: Message) -> Message:
        """Begin to publish where `order` has a shape, end it where it has not."""
        self._end()
        if "shape" in order:
            self._thread = threading.Thread(target=self._run, args=(order,), daemon=True)
            self._thread.start()
        return {}

    def _end(self) -> None:
        if self._thread is not None:
            self._stop.set()
            self._thread.join()
            self._thread = None
            self._stop.clear()
        if self._failure is not None:
            raise self._failure

    def _run(self, order: Message) -> None:
        try:
            self._publish(self._frames[order["shape"]], order["fps"], order["max_frames"])
        except BaseException as error:
            self._failure = error  # said with the next answer

    def _publish(self, frames: list[Frame], fps: float, max_frames: int) -> None:
        queue = self._settings.queue.model_copy(update={"policy": "block", "max_frames": max_frames})
        publisher = FramePublisher(self._settings.model_copy(update={"queue": queue}))
        pacer = Pacer(fps, SystemClock())
        for frame in itertools.cycle(frames):
            pacer.wait(self._stop)
            if self._stop.is_set():
                break
            publisher.publish(replace(frame, seq=next(self._seq)), self._stop)
        publisher.close()


if __name__ == "__main__":
    serve(main)
