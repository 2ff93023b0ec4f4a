"""ONNX Runtime: the bundle's ONNX graph, which takes the frames' bytes as they are."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from worker.devices import Device, index_here, threads
from worker.errors import BundleError, DeviceError, EngineError
from worker.inference.bundle import Bundle
from worker.inference.engines.common import Synchronous, checked_maps
from worker.types import Image

try:
    import onnxruntime
except ImportError as error:
    raise DeviceError(f"ONNX Runtime cannot be loaded: {error}; pip install 'line-worker[onnxruntime]'") from error

__all__ = ["OnnxruntimeEngine", "onnxruntime"]

_ERRORS_ONLY = 3


class OnnxruntimeEngine(Synchronous):
    """See `Engine`. Takes N×h×w×3 uint8. On a GPU it is TensorRT where that is installed, which alone has fp16."""

    name = "onnxruntime"

    def __init__(self, bundle: Bundle, device: Device, precision: str) -> None:
        self.precision = precision
        graph = bundle.graph_for(precision)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads(device)
        options.inter_op_num_threads = 1
        options.log_severity_level = _ERRORS_ONLY
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # other threads have use for the core
        try:
            self._session = onnxruntime.InferenceSession(str(graph), options, providers=_providers(device, precision))
        except DeviceError:
            raise
        except Exception as error:
            raise BundleError(f"{graph}: ONNX Runtime cannot load it: {str(error)[:300]}") from error
        self._input = self._session.get_inputs()[0].name

    def encode(self, image: Image) -> npt.NDArray[Any]:
        """See `Engine.encode`: the frame itself."""
        return image

    def run(self, batch: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """See `Engine.run`."""
        try:
            maps = self._session.run(None, {self._input: batch})[0]
        except Exception as error:
            raise EngineError(f"ONNX Runtime failed on a batch of {len(batch)}: {str(error)[:300]}") from error
        return checked_maps(maps, len(batch), batch.shape[1:3])


def _providers(device: Device, precision: str) -> list[Any]:
    if device.kind == "cpu":
        return ["CPUExecutionProvider"]
    there, place = onnxruntime.get_available_providers(), {"device_id": index_here(device, os.environ)}
    if "TensorrtExecutionProvider" in there:
        return [("TensorrtExecutionProvider", place | {"trt_fp16_enable": precision == "fp16"})]
    if "CUDAExecutionProvider" in there and precision != "fp16":
        return [("CUDAExecutionProvider", place)]
    raise DeviceError(f"device {device}: the installed ONNX Runtime has no {precision} there; install onnxruntime-gpu")
