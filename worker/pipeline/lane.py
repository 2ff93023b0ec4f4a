"""A model on one device, in a thread of its own: whoever predicts hands it batches."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from worker.devices import Device, check_cores, pin
from worker.errors import EngineError, LineError
from worker.inference.engines import REFERENCE, Variant
from worker.inference.predictor import Predictor
from worker.inference.selection.choose import open_chosen
from worker.settings import Settings

Maps = list[npt.NDArray[np.float32] | EngineError]


class Lane:
    """Runs batches one after another; an engine serves one thread, whoever calls.

    The thread is pinned to the device's cores before the engine is opened, whose threads inherit that: the program
    around it keeps all of its own.

    Raises:
        LineError: the model, the device or the engine cannot be had.
    """

    def __init__(self, settings: Settings, device: Device) -> None:
        check_cores(device)
        self._process = os.getpid()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"line-worker-{device}")
        try:
            self.predictor = self._thread.submit(_open, settings, device).result()
        except BaseException:
            self.close()
            raise

    def submit(self, inputs: Sequence[npt.NDArray[Any]]) -> Future[Maps]:
        """Infer a batch; of each frame its anomaly map, or why it has none.

        Raises:
            LineError: it is closed, or this is another process than the one that opened it.
        """
        if os.getpid() != self._process:
            raise LineError("this pipeline was made in another process: make one in this one")
        try:
            return self._thread.submit(_maps, self.predictor.infer, inputs)
        except RuntimeError as error:
            raise LineError("this pipeline is closed") from error

    def close(self) -> None:
        """Let go of the thread; what is in work is finished."""
        self._thread.shutdown(wait=False)


def _open(settings: Settings, device: Device) -> Predictor:
    pin(device)
    if Variant(settings.engine, settings.precision) == REFERENCE:  # which all others are held to: there is no gate
        assert settings.model is not None
        return Predictor.open(settings.model, device, threshold=settings.threshold)
    return open_chosen(settings, device)[0]


def _maps(infer: Callable[[Sequence[npt.NDArray[Any]]], npt.NDArray[np.float32]], inputs: Sequence[Any]) -> Maps:
    """A batch that fails is tried frame by frame, once: a bad frame harms only itself."""
    if not inputs:
        return []
    try:
        return list(infer(inputs))
    except EngineError as error:
        if len(inputs) == 1:
            return [error]
        return [_maps(infer, [one])[0] for one in inputs]
