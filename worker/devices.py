"""Device strings: `cpu`, `cpu:0`, `cpu:0-3`, `cpu:0,cpu:1`, `gpu:0,1`, `npu:0` … one worker process each.

`cpu` is all cores; `cpu:0-3` is one worker pinned to four cores; `cpu:0,1` and `gpu:0,1` are two workers.
The kinds and the spelling are PaddleX's.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field

from worker.cores import usable_cores
from worker.errors import DeviceError

_INDEX = "https://www.paddlepaddle.org.cn/packages/stable/"


@dataclass(frozen=True, slots=True)
class Kind:
    """What is particular to a kind of device, as PaddleX has it.

    `visible` is the environment variable that hides all other devices of the kind, and `instead` those that its driver
    heeds where that is not set. Paddle Inference has a `call` of its own for some kinds; others are a `plugin` that has
    registered their names. `package` is what runs the kind, from the folder `index` of Paddle's own package index; one
    that is no plug-in takes paddlepaddle's place. `flags` are environment variables that paddle reads when loaded.
    """

    visible: str = ""
    instead: tuple[str, ...] = ()
    call: str = "plugin"
    package: str = "paddlepaddle"
    index: str = "cpu"
    flags: Mapping[str, str] = field(default_factory=dict)

    @property
    def install(self) -> str:
        """The command that installs what runs this kind."""
        command = f"pip install {self.package} -i {_INDEX}{self.index}/"
        return command if self.call == "plugin" else f"pip uninstall -y paddlepaddle; {command}"


# The names of packages are from the installation guides of Paddle, which also say what drivers and images they need.
KINDS: Mapping[str, Kind] = {
    "cpu": Kind(call="cpu"),
    "gpu": Kind("CUDA_VISIBLE_DEVICES", call="gpu", package="paddlepaddle-gpu", index="cu126"),
    "npu": Kind(
        "ASCEND_RT_VISIBLE_DEVICES",
        package="paddle-custom-npu",
        index="npu",
        flags={
            "FLAGS_npu_jit_compile": "0",
            "FLAGS_use_stride_kernel": "0",
            "FLAGS_allocator_strategy": "auto_growth",
            "CUSTOM_DEVICE_BLACK_LIST": "pad3d,pad3d_grad,set_value,set_value_with_tensor",
            "FLAGS_npu_scale_aclnn": "True",
            "FLAGS_npu_split_aclnn": "True",
        },
    ),
    "xpu": Kind(
        "XPU_VISIBLE_DEVICES",
        instead=("CUDA_VISIBLE_DEVICES",),
        call="xpu",
        package="paddlepaddle-xpu",
        index="xpu-p800",
        flags={
            "BKCL_FORCE_SYNC": "1",
            "BKCL_TIMEOUT": "1800",
            "FLAGS_use_stride_kernel": "0",
            "XPU_BLACK_LIST": "pad3d",
            "XPU_PADDLE_CONV_FLOAT": "1",
        },
    ),
    "mlu": Kind(
        "MLU_VISIBLE_DEVICES",
        package="paddle-custom-mlu",
        index="mlu",
        flags={"FLAGS_use_stride_kernel": "0", "FLAGS_use_stream_safe_cuda_allocator": "0"},
    ),
    "dcu": Kind(
        "HIP_VISIBLE_DEVICES",
        instead=("CUDA_VISIBLE_DEVICES",),
        call="gpu",
        package="paddlepaddle-dcu",
        index="dcu",
        flags={"FLAGS_conv_workspace_size_limit": "2000"},
    ),
    "gcu": Kind(
        "TOPS_VISIBLE_DEVICES", package="paddle-custom-gcu", index="gcu", flags={"FLAGS_use_stride_kernel": "0"}
    ),
    "iluvatar_gpu": Kind("CUDA_VISIBLE_DEVICES", package="paddle-iluvatar-gpu", index="ixuca"),
    "metax_gpu": Kind(
        "MACA_VISIBLE_DEVICES",
        instead=("CUDA_VISIBLE_DEVICES",),
        package="paddle-metax-gpu",
        index="maca",
        flags={"FLAGS_use_stride_kernel": "1"},
    ),
}

VISIBLE_DEVICES = {name: kind.visible for name, kind in KINDS.items() if kind.visible}
"""Which environment variable hides all other devices of a kind from the framework."""

_ENTRY = re.compile(r"(?:(?P<kind>[a-z]+(?:_[a-z]+)*)(?::(?=\d)|$))?(?:(?P<first>\d{1,4})(?:-(?P<last>\d{1,4}))?)?")


@dataclass(frozen=True, slots=True)
class Device:
    """One device of one worker. `cores` are the CPU cores to pin to (empty: all); `index` is an accelerator's."""

    kind: str
    index: int = 0
    cores: tuple[int, ...] = ()

    def __str__(self) -> str:
        if self.kind != "cpu":
            return f"{self.kind}:{self.index}"
        if not self.cores:
            return "cpu"
        first, last = self.cores[0], self.cores[-1]
        return f"cpu:{first}" if first == last else f"cpu:{first}-{last}"


def parse_devices(text: str) -> list[Device]:
    """Parse a device string into one `Device` per worker.

    An entry without a kind takes the kind of the entry before it, so `gpu:0,1` is two GPUs.

    Raises:
        DeviceError: the text is not in this grammar, or a device stands in it twice.
    """
    devices: list[Device] = []
    kind = ""
    for entry in text.replace(" ", "").lower().split(","):
        match = _ENTRY.fullmatch(entry)
        if match is None or not entry:
            raise DeviceError(f"device {entry or text!r} is not understood; examples: {_EXAMPLES}")
        kind = match["kind"] or kind
        if kind not in KINDS:
            raise DeviceError(f"device {entry!r}: the kind must be one of {', '.join(KINDS)}; examples: {_EXAMPLES}")
        device = _device(kind, entry, match["first"], match["last"])
        if device in devices:
            raise DeviceError(f"device {device} is named twice in {text!r}")
        devices.append(device)
    return devices


_EXAMPLES = "cpu, cpu:0, cpu:0-3, cpu:0,cpu:1, gpu:0, gpu:0,1, npu:0"


def _device(kind: str, entry: str, first: str | None, last: str | None) -> Device:
    low = int(first or 0)
    high = int(last) if last is not None else low
    if high < low:
        raise DeviceError(f"device {entry!r}: the range runs backwards")
    if kind == "cpu":
        return Device("cpu", cores=tuple(range(low, high + 1)) if first is not None else ())
    if last is not None:
        raise DeviceError(f"device {entry!r}: a range pins CPU cores; name accelerators one by one, as in gpu:0,1")
    return Device(kind, index=low)


def check_cores(device: Device) -> None:
    """Refuse a CPU device whose cores this process may not use.

    Raises:
        DeviceError: a core does not exist here or is not allowed (taskset, container limits).
    """
    allowed = os.sched_getaffinity(0)
    missing = sorted(set(device.cores) - allowed)
    if missing:
        cores = ", ".join(map(str, sorted(allowed)))
        raise DeviceError(f"device {device}: no core {missing[0]} here; this process may use cores {cores}")


def threads(device: Device) -> int:
    """How many threads the device may keep busy: its cores, or as many as this process may use."""
    return len(device.cores) or usable_cores()


def pin(device: Device) -> None:
    """Keep this process, and every thread that it will start, on the device's cores."""
    if device.cores:
        os.sched_setaffinity(0, device.cores)


# Buffers from this size on come from the system and go back to it. By default glibc keeps ever larger ones in its heap,
# which batches of changing sizes leave full of holes: workers grew by a quarter within minutes.
_LARGE_BUFFER_BYTES = 8 * 2**20
# So much of the heap's end is kept. To set the other turns glibc's own adjustment of this one off, and with its 128 KiB
# every frame would hand its pages back and fault them in again.
_KEPT_BYTES = 32 * 2**20


def child_environment(device: Device, base: dict[str, str]) -> dict[str, str]:
    """The environment of the worker process for `device`: set before any framework loads, it touches no other."""
    environment = dict(base)
    count = str(threads(device))
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        environment[name] = count
    environment.setdefault("MALLOC_MMAP_THRESHOLD_", str(_LARGE_BUFFER_BYTES))
    environment.setdefault("MALLOC_TRIM_THRESHOLD_", str(_KEPT_BYTES))
    kind = KINDS[device.kind]
    environment |= dict.fromkeys(VISIBLE_DEVICES.values(), "-1")
    for variable in kind.instead:  # to some drivers a -1 in one of two variables hides what the other one shows
        environment.pop(variable, None)
    if kind.visible:
        environment[kind.visible] = str(device.index)
    set_flags(device, environment)
    return environment


def set_flags(device: Device, environment: MutableMapping[str, str]) -> None:
    """Set what the device's kind wants to be set before paddle is loaded, and nobody has set otherwise."""
    for name, value in KINDS[device.kind].flags.items():
        environment.setdefault(name, value)


def index_here(device: Device, environment: Mapping[str, str]) -> int:
    """An accelerator's number among those that a process with this environment sees: frameworks count only these.

    A worker sees one device, by its `child_environment`: number 0, whichever it is. In a process that sees several, or
    all, the device's index is its number.
    """
    kind = KINDS[device.kind]
    seen = next((environment[name] for name in (kind.visible, *kind.instead) if name in environment), "")
    return 0 if seen.strip() == str(device.index) else device.index
