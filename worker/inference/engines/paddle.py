"""The engine that is always there: Paddle Inference, with oneDNN on a CPU."""

from __future__ import annotations

import os
import warnings

import numpy as np
import numpy.typing as npt

from worker.devices import Device
from worker.errors import BundleError, DeviceError, EngineError
from worker.inference.bundle import Bundle

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

__all__ = ["PaddleEngine", "paddle"]

_GPU_MEMORY_MB = 256  # what the pool begins with; it grows
# oneDNN caches its work for this many input shapes: one a batch size, or it begins anew at every change.
_CACHED_SHAPES = 512


class PaddleEngine:
    """See `Engine`. Paddle 3.2.2 runs the whole graph in oneDNN, the bilinear upsampling included."""

    name = "paddle"

    def __init__(self, bundle: Bundle, device: Device) -> None:
        _check_device(device)
        try:
            self._predictor = paddle.inference.create_predictor(_config(bundle, device))
        except Exception as error:  # paddle raises many kinds, some of its own
            raise BundleError(f"model folder {bundle.folder}: paddle cannot load it: {_short(error)}") from error
        self._input = self._predictor.get_input_handle(self._predictor.get_input_names()[0])
        self._output = self._predictor.get_output_handle(self._predictor.get_output_names()[0])

    def run(self, batch: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """See `Engine.run`."""
        try:
            self._input.reshape(batch.shape)
            self._input.copy_from_cpu(batch)
            self._predictor.run()
            maps = self._output.copy_to_cpu()
        except Exception as error:
            raise EngineError(f"paddle failed on a batch of {len(batch)}: {_short(error)}") from error
        if maps.size != len(batch) * batch.shape[2] * batch.shape[3]:
            raise EngineError(f"the model gave {maps.shape} for a batch of {batch.shape}: not an STFPM export?")
        return np.asarray(maps, np.float32).reshape(len(batch), *batch.shape[2:])


def _config(bundle: Bundle, device: Device) -> paddle.inference.Config:
    config = paddle.inference.Config(str(bundle.graph), str(bundle.parameters))
    config.disable_glog_info()
    config.switch_ir_optim(True)
    config.enable_memory_optim()
    if bundle.graph.suffix == ".json":
        config.enable_new_ir()
        config.enable_new_executor()
    if device.kind == "cpu":
        config.disable_gpu()
        config.set_cpu_math_library_num_threads(len(device.cores) or len(os.sched_getaffinity(0)))
        config.enable_mkldnn()
        config.set_mkldnn_cache_capacity(_CACHED_SHAPES)
    elif device.kind in ("gpu", "dcu"):
        config.enable_use_gpu(_GPU_MEMORY_MB, 0)  # the only one that this process can see
    elif device.kind == "xpu":
        config.enable_xpu()
        config.set_xpu_device_id(0)
    else:
        config.enable_custom_device(device.kind, 0)
    return config


def _check_device(device: Device) -> None:
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


def _short(error: Exception) -> str:
    """The line of a paddle error that says what happened, without its C++ stack."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if "Error:" in line or line.startswith("[Hint")]
    return " ".join((telling or lines or [type(error).__name__])[:2])[:400]
