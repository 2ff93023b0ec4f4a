"""The pipeline: pictures in, results out, in batches, over one device or several."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle
from types import TracebackType
from typing import Any

import numpy.typing as npt

from worker.devices import parse_devices
from worker.errors import LineError, SettingsError
from worker.inference.health import ImageChecks
from worker.pipeline.in_order import batches, in_order
from worker.pipeline.inputs import Source, sources
from worker.pipeline.lane import Lane, Maps
from worker.pipeline.result import AnomalyResult
from worker.settings import Settings

_DECODERS = 4
_BATCHES_AHEAD = 2  # a lane's: one in the device and one that waits for it


@dataclass(frozen=True, slots=True)
class _Read:
    """A picture that is ready for the device; `model_input` is None where it could not be read, and why."""

    source: Source
    size: tuple[int, int] = (0, 0)
    model_input: npt.NDArray[Any] | None = None
    problem: str = ""
    error: LineError | None = None


class AnomalyDetectionPipeline:
    """A model on its devices; `create_pipeline` makes it. It may be used from several threads at once.

    Raises:
        LineError: the model, a device or the engine cannot be had.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._limits = settings.limits
        self._batch_size = settings.batch.max_batch
        self._lanes = [Lane(settings, device) for device in parse_devices(settings.devices)]
        self._predictor = self._lanes[0].predictor
        self._checks = ImageChecks(settings.watch, self._predictor.bundle.image_statistics)

    @property
    def engine(self) -> str:
        """What runs the model and in what precision, as in `openvino int8`."""
        return f"{self._predictor.engine.name} {self._predictor.engine.precision}"

    @property
    def threshold(self) -> float:
        """That scores are held against."""
        return self._predictor.threshold

    def predict(self, input: Any, batch_size: int | None = None) -> Iterator[AnomalyResult]:
        """Results one by one, in the order of the pictures; a generator.

        Args:
            input: a numpy array (H×W×3 BGR uint8, or grey), a file's path, a URL, a folder (all pictures below it, by
                their paths), a dict (`{"img": …}`), or a list of these. A picture that cannot be inspected, a PDF too,
                gets a result that says so: `verdict` INVALID, `reason`, and its error as `.error`.
            batch_size: pictures a call of the device; None: the pipeline's own. Up to four batches a device are read
                ahead.

        Raises:
            SettingsError: the batch size is none.
        """
        try:
            size = self._batch_size if batch_size is None else operator.index(batch_size)
        except TypeError:
            size = 0
        if not 1 <= size <= 256:
            raise SettingsError(f"batch_size {batch_size!r}: a whole number from 1 to 256")
        return self._results(sources(input, self._limits), size)

    __call__ = predict

    def sources(self, input: Any) -> Iterator[Source]:
        """Each picture in what `predict` takes, which takes these too."""
        return sources(input, self._limits)

    def close(self) -> None:
        """Let go of the devices' threads."""
        for lane in self._lanes:
            lane.close()

    def __enter__(self) -> AnomalyDetectionPipeline:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _results(self, pictures: Iterator[Source], size: int) -> Iterator[AnomalyResult]:
        lanes = cycle(self._lanes)
        ahead = _BATCHES_AHEAD * len(self._lanes)
        pool = ThreadPoolExecutor(_DECODERS, thread_name_prefix="line-worker-read")
        try:
            read = (read for _, read in in_order(lambda one: pool.submit(self._read, one), pictures, ahead * size))
            for batch, maps in in_order(lambda batch: next(lanes).submit(_inputs(batch)), batches(read, size), ahead):
                yield from self._judge(batch, maps)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # a picture that is still being fetched holds up nobody

    def _read(self, source: Source) -> _Read:
        try:
            image = source.read()
            problem = self._checks.problem(image)
            return _Read(source, image.shape[:2], self._predictor.preprocess(image), problem)
        except LineError as error:
            return _Read(source, error=error)

    def _judge(self, batch: list[_Read], maps: Maps) -> Iterator[AnomalyResult]:
        found = iter(maps)
        for read in batch:
            outcome = read.error or next(found)
            if isinstance(outcome, LineError):
                yield AnomalyResult.failed(read.source, outcome)
            else:
                prediction = self._predictor.postprocess(outcome, read.size)
                yield AnomalyResult.of(read.source, prediction, outcome, read.problem)


def _inputs(batch: list[_Read]) -> list[npt.NDArray[Any]]:
    return [read.model_input for read in batch if read.model_input is not None]
