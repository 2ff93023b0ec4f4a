"""The engine that is always there: Paddle Inference, with oneDNN on a CPU."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import numpy as np
import numpy.typing as npt

from worker.devices import KINDS, Device, index_here, threads
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
    _CALLS[KINDS[device.kind].call](config, device, precision)
    for name in _WITHOUT_PASSES.get(device.kind, ()):
        config.delete_pass(name)
    return config


def _use_cpu(config: paddle.inference.Config, device: Device, precision: str) -> None:
    config.disable_gpu()
    config.set_cpu_math_library_num_threads(threads(device))
    if hasattr(config, "set_mkldnn_cache_capacity"):  # paddle for arm64 was built without oneDNN
        config.enable_mkldnn()
        config.set_mkldnn_cache_capacity(len(_CALL_SIZES))
    if precision == "bf16":
        config.enable_mkldnn_bfloat16()


def _use_gpu(config: paddle.inference.Config, device: Device, precision: str) -> None:
    kinds = paddle.inference.PrecisionType
    half = kinds.Half if precision == "fp16" else kinds.Float32
    config.exp_disable_mixed_precision_ops({"feed", "fetch"})  # what goes in and comes out stays float32
    config.enable_use_gpu(_GPU_MEMORY_MB, index_here(device, os.environ), half)


def _use_xpu(config: paddle.inference.Config, device: Device, _precision: str) -> None:
    config.enable_xpu()
    config.set_xpu_device_id(index_here(device, os.environ))


def _use_plugin(config: paddle.inference.Config, device: Device, _precision: str) -> None:
    if prepare := _PREPARED_BY.get(device.kind):
        import_module(prepare).setUp()
    config.enable_custom_device(device.kind, index_here(device, os.environ))


_CALLS: dict[str, Callable[[paddle.inference.Config, Device, str], None]] = {
    "cpu": _use_cpu,
    "gpu": _use_gpu,
    "xpu": _use_xpu,
    "plugin": _use_plugin,
}
# What PaddleX does besides: passes over the graph that go wrong on a kind, and a module whose `setUp` a plug-in wants.
_WITHOUT_PASSES = {
    "dcu": ("conv2d_add_act_fuse_pass", "conv2d_add_fuse_pass"),
    "xpu": ("conv2d_bn_xpu_fuse_pass", "transfer_layout_pass"),
}
_PREPARED_BY = {"gcu": "paddle_custom_device.gcu.passes"}


def check_device(device: Device) -> None:
    """Refuse what this paddle was not built for, naming the package that is, and what this machine has not.

    Without this paddle would end the process for some kinds, and compute on the CPU for others.

    Raises:
        DeviceError: it is not to be had here.
    """
    kind = KINDS[device.kind]
    if kind.call == "cpu":
        return
    if not _is_built_for(device.kind):
        lacking = "has no plug-in for it" if kind.call == "plugin" else "was not built for it"
        raise DeviceError(f"device {device}: the installed paddlepaddle {lacking}; {kind.install}")
    count, index = _count(device.kind), index_here(device, os.environ)
    if index >= count:
        raise DeviceError(
            f"device {device}: this process sees {count} of its kind; look at the driver and {kind.visible}"
        )


def _is_built_for(kind: str) -> bool:
    """Paddle's own answer."""
    if kind == "dcu":
        return bool(paddle.is_compiled_with_rocm())
    builds = {"gpu": paddle.is_compiled_with_cuda, "xpu": paddle.is_compiled_with_xpu}
    call = KINDS[kind].call
    return bool(builds[call]()) if call in builds else kind in paddle.device.get_all_custom_device_type()


def _count(kind: str) -> int:
    """How many this process sees."""
    call = KINDS[kind].call
    if call == "gpu":
        return int(paddle.device.cuda.device_count())
    if call == "xpu":
        return int(paddle.device.xpu.device_count())
    # Each is `npu:0`, or `npu` where it is the only one.
    return [name.partition(":")[0] for name in paddle.device.get_available_custom_device()].count(kind)


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
