"""Engines run a bundle's graph on a device, one file each. An engine takes and gives plain arrays.

`paddle` is always there and, in fp32, what all others are measured against; the others run the bundle's ONNX graphs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from worker.devices import Device, set_flags
from worker.errors import SettingsError
from worker.inference.bundle import Bundle
from worker.types import Image

PRECISIONS = ("fp32", "fp16", "bf16", "int8")
"""The most exact first."""

_CAN: dict[str, dict[str, tuple[str, ...]]] = {
    "paddle": {"cpu": ("fp32", "bf16"), "gpu": ("fp32", "fp16"), "dcu": ("fp32", "fp16"), "": ("fp32",)},
    "openvino": {"cpu": PRECISIONS},
    "onnxruntime": {"cpu": ("fp32", "int8"), "gpu": ("fp32", "fp16", "int8")},
}
ENGINES = tuple(_CAN)


@dataclass(frozen=True, slots=True, order=True)
class Variant:
    """An engine in a precision."""

    engine: str
    precision: str

    def __str__(self) -> str:
        return f"{self.engine} {self.precision}"


REFERENCE = Variant("paddle", "fp32")


class Engine(Protocol):
    """A loaded model on one device; `run` and `start` are used by one thread, `encode` by any."""

    name: str
    precision: str

    def encode(self, image: Image) -> npt.NDArray[Any]:
        """A frame of the graph's size, h×w×3 RGB uint8, as this engine takes it."""
        ...

    def run(self, batch: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Anomaly maps of a batch, by one call of the device.

        Args:
            batch: N frames as `encode` makes them, stacked.

        Returns:
            N×h×w float32.

        Raises:
            EngineError: the device failed.
        """
        ...

    def start(self, batch: npt.NDArray[Any]) -> Callable[[], npt.NDArray[np.float32]]:
        """The same, begun: the call of what is returned waits for the maps, and raises as `run` does.

        One batch more may be started before that, so that the device has work while the maps are fetched.
        """
        ...


def open_engine(variant: Variant, bundle: Bundle, device: Device) -> Engine:
    """Load the bundle. Frameworks are imported here, in the process that owns the device, and nowhere else.

    Raises:
        DeviceError: this machine, or the installed framework, has no such device or precision.
        BundleError: the graph cannot be loaded, or the bundle has none for this engine.
        SettingsError: there is no such engine or precision.
    """
    if variant.engine not in ENGINES:
        raise SettingsError(f"engine {variant.engine!r} is unknown; allowed are {', '.join(ENGINES)}")
    if variant.precision not in _precisions(variant.engine, device):
        raise SettingsError(f"{variant} is not to be had on {device}; {_offer(device)}")
    if variant.engine == "paddle":
        set_flags(device, os.environ)  # for a program that opens it in its own process; a worker has them already
        from worker.inference.engines.paddle import PaddleEngine

        return PaddleEngine(bundle, device, variant.precision)
    if variant.engine == "openvino":
        from worker.inference.engines.openvino import OpenvinoEngine

        return OpenvinoEngine(bundle, device, variant.precision)
    from worker.inference.engines.onnxruntime import OnnxruntimeEngine

    return OnnxruntimeEngine(bundle, device, variant.precision)


def available(bundle: Bundle, device: Device) -> list[Variant]:
    """What is installed, made for this kind of device, and has a graph in the bundle; whether the very device can do
    it shows when it is opened."""
    return [variant for variant in _offered(device) if _has_graph(bundle, variant)]


def _offered(device: Device) -> Iterator[Variant]:
    for engine in ENGINES:
        if find_spec(engine) is not None:
            yield from (Variant(engine, precision) for precision in _precisions(engine, device))


def _precisions(engine: str, device: Device) -> tuple[str, ...]:
    return _CAN[engine].get(device.kind, _CAN[engine].get("", ()))


def _offer(device: Device) -> str:
    return f"there are {', '.join(map(str, _offered(device)))}"


def _has_graph(bundle: Bundle, variant: Variant) -> bool:
    return variant.engine == "paddle" or bundle.onnx_for(variant.precision) is not None
