"""Every kind of device: what Paddle Inference is told, and what is said where it was not built for it.

No accelerator is here. So a recorder stands in for the configuration, whose methods are held against the real one's;
and that a kind is not to be had is asked of the real paddle, whose own words for that each test looks at first.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import models
import pytest

from worker.devices import KINDS, VISIBLE_DEVICES, Device
from worker.errors import DeviceError
from worker.inference.bundle import load_bundle
from worker.inference.engines import REFERENCE, Variant, onnxruntime, open_engine
from worker.inference.engines import paddle as engine
from worker.inference.engines.paddle import paddle

ACCELERATORS = sorted(set(KINDS) - {"cpu"})
REAL = paddle.inference.Config


class Recorder:
    """Keeps the calls of a configuration that matter here; there is none of a name that the real one has not."""

    def __init__(self, *_files: str) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        assert hasattr(REAL, name), f"paddle's configuration has no {name}"
        return lambda *arguments: self.calls.append((name, *arguments))


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the configuration is told for a device, without what all kinds have in common."""
    for name in VISIBLE_DEVICES.values():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(engine.paddle.inference, "Config", Recorder, raising=True)

    def calls(device: Device, precision: str = "fp32") -> list[tuple[Any, ...]]:
        config: Any = engine._config(load_bundle(models.bare_export()), device, precision)
        common = ("disable_glog_info", "switch_ir_optim", "enable_memory_optim", "enable_new_ir", "enable_new_executor")
        return [call for call in config.calls if call[0] not in common]

    return calls


SINGLE = paddle.inference.PrecisionType.Float32
HALF = paddle.inference.PrecisionType.Half


@pytest.mark.parametrize(
    ("device", "precision", "expected"),
    [
        (Device("gpu", 1), "fp32", [("enable_use_gpu", 256, 1, SINGLE)]),
        (Device("gpu", 0), "fp16", [("enable_use_gpu", 256, 0, HALF)]),
        (
            Device("dcu", 2),
            "fp32",
            [
                ("enable_use_gpu", 256, 2, SINGLE),
                ("delete_pass", "conv2d_add_act_fuse_pass"),
                ("delete_pass", "conv2d_add_fuse_pass"),
            ],
        ),
        (
            Device("xpu", 1),
            "fp32",
            [
                ("enable_xpu",),
                ("set_xpu_device_id", 1),
                ("delete_pass", "conv2d_bn_xpu_fuse_pass"),
                ("delete_pass", "transfer_layout_pass"),
            ],
        ),
        (Device("npu", 3), "fp32", [("enable_custom_device", "npu", 3)]),
        (Device("mlu", 0), "fp32", [("enable_custom_device", "mlu", 0)]),
        (Device("iluvatar_gpu", 1), "fp32", [("enable_custom_device", "iluvatar_gpu", 1)]),
        (Device("metax_gpu", 1), "fp32", [("enable_custom_device", "metax_gpu", 1)]),
    ],
    ids=str,
)
def test_paddle_is_told_the_device_as_paddlex_tells_it(
    told: Any, device: Device, precision: str, expected: list[tuple[Any, ...]]
) -> None:
    calls = [call for call in told(device, precision) if call[0] != "exp_disable_mixed_precision_ops"]
    assert calls == expected


def test_a_gcu_is_prepared_by_its_plug_in(told: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared: list[str] = []

    class Passes:
        @staticmethod
        def setUp() -> None:
            prepared.append("gcu")

    monkeypatch.setitem(sys.modules, "paddle_custom_device", type(sys)("paddle_custom_device"))
    monkeypatch.setitem(sys.modules, "paddle_custom_device.gcu", type(sys)("paddle_custom_device.gcu"))
    monkeypatch.setitem(sys.modules, "paddle_custom_device.gcu.passes", Passes)  # type: ignore[arg-type]
    assert told(Device("gcu", 0)) == [("enable_custom_device", "gcu", 0)]
    assert prepared == ["gcu"]


@pytest.mark.parametrize("kind", ACCELERATORS)
def test_a_worker_tells_paddle_the_first_device(told: Any, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VISIBLE_DEVICES[kind], "4")
    monkeypatch.setattr(engine, "_PREPARED_BY", {})
    numbers = [argument for call in told(Device(kind, 4)) for argument in call[1:] if argument in (0, 4)]
    assert numbers == [0]


def test_the_cpu_is_told_its_threads_and_no_accelerator(told: Any) -> None:
    names = [call[0] for call in told(Device("cpu", cores=(0,)))]
    assert names == ["disable_gpu", "set_cpu_math_library_num_threads", "enable_mkldnn", "set_mkldnn_cache_capacity"]


def test_a_paddle_without_onednn_is_not_asked_for_it(told: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As paddle's wheels for arm64 are, whose configuration lacks some of the methods."""

    class WithoutOnednn(Recorder):
        def __getattr__(self, name: str) -> Any:
            if name == "set_mkldnn_cache_capacity":
                raise AttributeError(name)
            return super().__getattr__(name)

    monkeypatch.setattr(engine.paddle.inference, "Config", WithoutOnednn)
    assert [call[0] for call in told(Device("cpu"))] == ["disable_gpu", "set_cpu_math_library_num_threads"]


@pytest.mark.parametrize("kind", ACCELERATORS)
def test_what_paddle_was_not_built_for_is_refused_naming_the_package_that_is(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if engine._is_built_for(kind):
        pytest.skip(f"this paddle was built for {kind}")
    for name in KINDS[kind].flags:
        monkeypatch.setenv(name, "as it was")  # and put back: opening an engine sets them in this process
    with pytest.raises(ValueError, match=r"not compiled with|must be a string which is like"):
        paddle.set_device(f"{kind}:0")  # paddle's own answer
    with pytest.raises(DeviceError) as caught:
        open_engine(REFERENCE, load_bundle(models.bare_export()), Device(kind, 1))
    said = str(caught.value)
    assert said.startswith(f"device {kind}:1: the installed paddlepaddle ")
    assert f"pip install {KINDS[kind].package} -i https://www.paddlepaddle.org.cn/packages/stable/" in said
    assert ("pip uninstall -y paddlepaddle;" in said) == (KINDS[kind].call != "plugin")  # a plug-in stands beside it


def test_a_device_beyond_those_that_are_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ASCEND_RT_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(paddle.device, "get_all_custom_device_type", lambda: ["npu"])
    monkeypatch.setattr(paddle.device, "get_available_custom_device", lambda: ["npu:0", "npu:1"])
    engine.check_device(Device("npu", 1))
    with pytest.raises(DeviceError, match=r"npu:2: this process sees 2 of its kind; .*ASCEND_RT_VISIBLE_DEVICES"):
        engine.check_device(Device("npu", 2))
    monkeypatch.setattr(paddle.device, "get_available_custom_device", lambda: ["npu"])  # the only one has no number
    engine.check_device(Device("npu", 0))


def test_onnx_runtime_counts_devices_as_its_process_sees_them(monkeypatch: pytest.MonkeyPatch) -> None:
    there = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime.onnxruntime, "get_available_providers", lambda: there[1:])
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert onnxruntime._providers(Device("gpu", 1), "fp32") == [("CUDAExecutionProvider", {"device_id": 1})]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert onnxruntime._providers(Device("gpu", 1), "fp32") == [("CUDAExecutionProvider", {"device_id": 0})]
    monkeypatch.setattr(onnxruntime.onnxruntime, "get_available_providers", lambda: there)
    [(name, options)] = onnxruntime._providers(Device("gpu", 1), "fp16")
    assert (name, options) == ("TensorrtExecutionProvider", {"device_id": 0, "trt_fp16_enable": True})


def test_onnx_runtime_without_cuda_says_what_to_install() -> None:
    with pytest.raises(DeviceError, match="install onnxruntime-gpu"):
        onnxruntime._providers(Device("gpu"), "fp32")
    assert Variant("onnxruntime", "fp32").engine == "onnxruntime"


def test_a_program_that_opens_an_npu_sets_its_flags_before_paddle_is_loaded() -> None:
    code = (
        "import os, sys; from pathlib import Path; from worker.devices import Device;"
        "from worker.errors import DeviceError; from worker.inference.bundle import load_bundle;"
        "from worker.inference.engines import REFERENCE, open_engine; bundle = load_bundle(Path(sys.argv[1]));"
        "assert 'FLAGS_npu_jit_compile' not in os.environ and 'paddle' not in sys.modules\n"
        "try: open_engine(REFERENCE, bundle, Device('npu'))\n"
        "except DeviceError: print(os.environ['FLAGS_npu_jit_compile'])"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FLAGS_")}
    command = [sys.executable, "-c", code, str(models.bare_export())]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "0"
