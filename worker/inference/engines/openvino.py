"""OpenVINO, on CPUs: the bundle's ONNX graph, which takes the frames' bytes as they are."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from worker.devices import Device, threads
from worker.errors import BundleError, DeviceError, EngineError
from worker.inference.bundle import Bundle
from worker.inference.engines.shape import checked_maps
from worker.types import Image

# At import it would send a usage event to a server outside, from a forked child that can hang with this process' locks.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

try:
    import openvino
except ImportError as error:
    raise DeviceError(f"OpenVINO cannot be loaded: {error}; pip install 'line-worker[openvino]'") from error

# What it is told to compute in, and what the processor must be able to for that to be any use. An int8 graph says
# itself what is quantised; the rest of it is computed in bf16 where the processor has that.
_HINTS = {"fp32": ("f32", "FP32"), "bf16": ("bf16", "BF16"), "fp16": ("f16", "FP16"), "int8": ("bf16", "INT8")}


class OpenvinoEngine:
    """See `Engine`. Takes N×h×w×3 uint8."""

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
        options = {
            "PERFORMANCE_HINT": "LATENCY",  # one call of the device at a time, on all its cores
            "INFERENCE_PRECISION_HINT": hint,
            "INFERENCE_NUM_THREADS": threads(device),
            "NUM_STREAMS": 1,
        }
        self._request = _compiled(core, bundle.graph_for(precision), options).create_infer_request()

    def encode(self, image: Image) -> npt.NDArray[Any]:
        """See `Engine.encode`: the frame itself."""
        return image

    def run(self, batch: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """See `Engine.run`."""
        try:
            outputs = self._request.infer({0: batch}, share_inputs=True)
        except Exception as error:
            raise EngineError(f"OpenVINO failed on a batch of {len(batch)}: {str(error)[:300]}") from error
        return checked_maps(outputs[0], len(batch), batch.shape[1:3])


def _compiled(core: Any, graph: Path, options: dict[str, Any]) -> Any:
    try:
        return core.compile_model(str(graph), "CPU", options)
    except Exception as error:
        raise BundleError(f"{graph}: OpenVINO cannot load it: {str(error)[:300]}") from error
