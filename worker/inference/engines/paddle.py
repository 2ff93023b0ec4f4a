"""The engine that is always there: Paddle Inference, with oneDNN on a CPU."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from worker.devices import Device, threads
from worker.errors import BundleError, DeviceError, EngineError
from worker.inference.bundle import Bundle
from worker.inference.engines.common import Synchronous, checked_maps
from worker.inference.preprocess import normalised
from worker.types import Image

os.environ.setdefault("GLOG_minloglevel", "2")  # errors only; paddle reads it once, when it is imported

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # paddle looks for ccache and warns that it has none
    try:
        import paddle
        import paddle.inference
    except ImportError as error:
        raise DeviceError(f"paddlepaddle cannot be loaded: {error}; libgomp.so.1 is in Debian's libgomp1") from error

# Its handlers would end the process at SIGTERM, with a C++ trace, before the frames in hand got their verdicts.
paddle.disable_signal_handler()

__all__ = ["PaddleEngine", "check_device", "paddle"]

_GPU_MEMORY_MB = 256  # what the pool begins with; it grows
# oneDNN keeps all buffers of every input shape that it has worked on, 60 MB a batch of eight, and begins anew at one
# that it has forgotten. So a batch goes in calls of four, two and one: as fast, and three shapes are enough for all.
_CALL_SIZES = (4, 2, 1)


class PaddleEngine(Synchronous):
    """See `Engine`. Takes N×3×h×w float32. Paddle 3.2.2 runs the whole graph in oneDNN, its upsampling included."""

    name = "paddle"

    def __init__(self, bundle: Bundle, device: Device, precision: str = "fp32") -> None:
        check_device(device)
        _check_precision(device, precision)
        self.precision = precision
        self._transforms = bundle.transforms
        self._call_sizes = _CALL_SIZES if device.kind == "cpu" else ()
        try:
            self._predictor = paddle.inference.create_predictor(_config(bundle, device, precision))
        except Exception as error:  # paddle raises many kinds, some of its own
            raise BundleError(f"model folder {bundle.folder}: paddle cannot load it: {_short(error)}") from error
        self._input = self._predictor.get_input_handle(self._predictor.get_input_names()[0])
        self._output = self._predictor.get_output_handle(self._predictor.get_output_names()[0])

    def encode(self, image: Image) -> npt.NDArray[np.float32]:
        """See `Engine.encode`: normalised, 3×h×w float32."""
        return normalised(image, self._transforms)

    def run(self, batch: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """See `Engine.run`."""
        try:
            outputs = [self._call(part) for part in _parts(batch, self._call_sizes)]
        except Exception as error:
            raise EngineError(f"paddle failed on a batch of {len(batch)}: {_short(error)}") from error
        return checked_maps(np.concatenate(outputs) if len(outputs) > 1 else outputs[0], len(batch), batch.shape[2:])

    def _call(self, part: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        self._input.reshape(part.shape)
        self._input.copy_from_cpu(part)
        self._predictor.run()
        return np.asarray(self._output.copy_to_cpu(), np.float32)


def _parts(batch: npt.NDArray[np.float32], sizes: tuple[int, ...]) -> Iterator[npt.NDArray[np.float32]]:
    """The batch in pieces of these sizes, the largest first; whole where none are given."""
    at = 0
    while at < len(batch):
        size = next((size for size in sizes if size <= len(batch) - at), len(batch) - at)
        yield batch[at : at + size]
        at += size


def _config(bundle: Bundle, device: Device, precision: str) -> paddle.inference.Config:
    config = paddle.inference.Config(str(bundle.graph), str(bundle.parameters))
    config.disable_glog_info()
    config.switch_ir_optim(True)
    config.enable_memory_optim()
    if bundle.graph.suffix == ".json":
        config.enable_new_ir()
        config.enable_new_executor()
    if device.kind == "cpu":
        config.disable_gpu()
        config.set_cpu_math_library_num_threads(threads(device))
        config.enable_mkldnn()
        config.set_mkldnn_cache_capacity(len(_CALL_SIZES))
        if precision == "bf16":
            config.enable_mkldnn_bfloat16()
    elif device.kind in ("gpu", "dcu"):
        kinds = paddle.inference.PrecisionType
        half = kinds.Half if precision == "fp16" else kinds.Float32
        config.enable_use_gpu(_GPU_MEMORY_MB, 0, half)  # the only one that this process can see
    elif device.kind == "xpu":
        config.enable_xpu()
        config.set_xpu_device_id(0)
    else:
        config.enable_custom_device(device.kind, 0)
    return config


def check_device(device: Device) -> None:
    """Refuse what this paddle was not built for, with the package that is."""
    if device.kind == "cpu":
        return
    if device.kind in ("gpu", "dcu"):
        built = paddle.is_compiled_with_rocm() if device.kind == "dcu" else paddle.is_compiled_with_cuda()
        count = paddle.device.cuda.device_count() if built else 0
    elif device.kind == "xpu":
        built = paddle.is_compiled_with_xpu()
        count = paddle.device.xpu.device_count() if built else 0
    else:
        built = device.kind in paddle.device.get_all_custom_device_type()
        count = 1
    if not built:
        package = {"gpu": "paddlepaddle-gpu", "xpu": "paddlepaddle-xpu", "dcu": "paddlepaddle-dcu"}.get(
            device.kind, f"paddle-custom-{device.kind}"
        )
        raise DeviceError(f"device {device}: the installed paddlepaddle was not built for it; install {package}")
    if count < 1:
        raise DeviceError(f"device {device}: this machine has no such device, or its driver does not see it")


def _check_precision(device: Device, precision: str) -> None:
    """Refuse bf16 where the processor would only imitate it."""
    if precision == "bf16" and "avx512_bf16" not in _processor_flags():
        raise DeviceError(f"device {device}: this processor has no bf16")


def _processor_flags() -> set[str]:
    text = Path("/proc/cpuinfo").read_text()
    return {flag for line in text.splitlines() if line.startswith("flags") for flag in line.split()}


def _short(error: Exception) -> str:
    """The line of a paddle error that says what happened, without its C++ stack."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if "Error:" in line or line.startswith("[Hint")]
    return " ".join((telling or lines or [type(error).__name__])[:2])[:400]
