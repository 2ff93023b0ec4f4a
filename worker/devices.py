"""Device strings: `cpu`, `cpu:0`, `cpu:0-3`, `cpu:0,cpu:1`, `gpu:0,1`, `npu:0` … one worker process each.

`cpu` is all cores; `cpu:0-3` is one worker pinned to four cores; `cpu:0,1` and `gpu:0,1` are two workers.
The kinds and the spelling are PaddleX's.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from worker.errors import DeviceError

KINDS = ("cpu", "gpu", "npu", "xpu", "mlu", "dcu", "gcu")
_ENTRY = re.compile(r"(?:(?P<kind>[a-z]+)(?::(?=\d)|$))?(?:(?P<first>\d{1,4})(?:-(?P<last>\d{1,4}))?)?")

# Which environment variable hides all other devices of a kind from the framework.
VISIBLE_DEVICES = {
    "gpu": "CUDA_VISIBLE_DEVICES",
    "dcu": "HIP_VISIBLE_DEVICES",
    "npu": "ASCEND_RT_VISIBLE_DEVICES",
    "xpu": "XPU_VISIBLE_DEVICES",
    "mlu": "MLU_VISIBLE_DEVICES",
    "gcu": "TOPS_VISIBLE_DEVICES",
}


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
    """How many threads the device may keep busy: its cores, or all that this process may use."""
    return len(device.cores) or len(os.sched_getaffinity(0))


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
    for kind, variable in VISIBLE_DEVICES.items():
        environment[variable] = str(device.index) if kind == device.kind else "-1"
    return environment
