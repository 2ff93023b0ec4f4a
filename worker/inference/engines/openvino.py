"""OpenVINO, on CPUs: the bundle's ONNX graph, which takes the frames' bytes as they are."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from worker.devices import Device, threads
from worker.errors import BundleError, DeviceError, EngineError
from worker.inference.bundle import Bundle
from worker.inference.engines.common import Maps, checked_maps
from worker.types import Image

# At import it would send a usage event to a server outside, from a forked child that can hang with this process' locks.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

try:
    import openvino
except ImportError as error:
    raise DeviceError(f"OpenVINO cannot be loaded: {error}; pip install 'line-worker[openvino]'") from error

__all__ = ["OpenvinoEngine", "openvino"]

# What it is told to compute in, and what the processor must be able to for that to be any use. An int8 graph says
# itself what is quantised; the rest of it is computed in bf16 where the processor has that.
_HINTS = {"fp32": ("f32", "FP32"), "bf16": ("bf16", "BF16"), "fp16": ("f16", "FP16"), "int8": ("bf16", "INT8")}


_MOST_STREAMS = 4
_BATCHES_STARTED = 2
_PIECES_A_STREAM = 2  # so that a stream that was held up leaves some of its work to the others


class OpenvinoEngine:
    """See `Engine`. Takes N×h×w×3 uint8.

    A frame that comes alone is worked on by all cores together. A batch is shared out in pieces, each worked on by few
    cores: threads that meet after every layer wait for each other whenever something else takes one of the cores.
    """

    name = "openvino"

    def __init__(self, bundle: Bundle, device: Device, precision: str) -> None:
        self.precision = precision
        core = openvino.Core()
        hint, capability = _HINTS[precision]
        has = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if capability not in has:
            raise DeviceError(f"device {device}: this processor has no {precision}")
        if hint == "bf16" and "BF16" not in has:
            hint = "f32"
        graph, count = bundle.graph_for(precision), threads(device)
        streams = min(count, _MOST_STREAMS)
        together = _compiled(core, graph, hint, count, 1)
        self._together = [[together.create_infer_request()] for _ in range(_BATCHES_STARTED)]
        self._apart = self._together
        if streams > 1:
            apart, pieces = _compiled(core, graph, hint, count, streams), streams * _PIECES_A_STREAM
            self._apart = [[apart.create_infer_request() for _ in range(pieces)] for _ in range(_BATCHES_STARTED)]
        self._unfinished = 0

    def encode(self, image: Image) -> npt.NDArray[Any]:
        """See `Engine.encode`: the frame itself."""
        return image

    def run(self, batch: npt.NDArray[Any]) -> Maps:
        """See `Engine.run`."""
        return self.start(batch)()

    def start(self, batch: npt.NDArray[Any]) -> Callable[[], Maps]:
        """See `Engine.start`."""
        alone = len(batch) == 1 and not self._unfinished
        free = self._together if alone else self._apart
        if not free:
            raise EngineError(f"{_BATCHES_STARTED} batches are in the device already")
        requests = free.pop()  # nobody else's until its maps are fetched
        pieces = np.array_split(batch, min(len(batch), len(requests)))
        running = list(zip(requests, pieces, strict=False))
        self._unfinished += 1

        def finish() -> Maps:
            failures = [failure for request, _ in running if (failure := _awaited(request))]
            try:
                if failures:
                    raise _failed(batch, failures[0]) from failures[0]
                maps = np.concatenate([request.get_output_tensor(0).data for request, _ in running])
            finally:
                self._unfinished -= 1
                free.append(requests)
            return checked_maps(maps, len(batch), batch.shape[1:3])

        try:
            for request, piece in running:
                request.start_async({0: piece}, share_inputs=True)
        except Exception as error:
            for request, _ in running:
                _awaited(request)
            self._unfinished -= 1
            free.append(requests)
            raise _failed(batch, error) from error
        return finish


def _failed(batch: npt.NDArray[Any], error: Exception) -> EngineError:
    return EngineError(f"OpenVINO failed on a batch of {len(batch)}: {str(error)[:300]}")


def _awaited(request: Any) -> Exception | None:
    """Wait for a request, whatever becomes of it: none may still run when the next batch comes."""
    try:
        request.wait()
    except Exception as error:
        return error
    return None


def _compiled(core: Any, graph: Path, hint: str, count: int, streams: int) -> Any:
    options = {
        "PERFORMANCE_HINT": "LATENCY" if streams == 1 else "THROUGHPUT",
        "INFERENCE_PRECISION_HINT": hint,
        "INFERENCE_NUM_THREADS": count,
        "NUM_STREAMS": streams,
    }
    try:
        return core.compile_model(str(graph), "CPU", options)
    except Exception as error:
        raise BundleError(f"{graph}: OpenVINO cannot load it: {str(error)[:300]}") from error
