"""Engines run a bundle's graph on a device, one file each. An engine takes and gives plain arrays."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from worker.devices import Device
from worker.errors import SettingsError
from worker.inference.bundle import Bundle

ENGINES = ("paddle",)


class Engine(Protocol):
    """A loaded model on one device; used by one thread at a time."""

    name: str

    def run(self, batch: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Anomaly maps of a batch, by one call of the device.

        Args:
            batch: N×3×H×W float32, as `preprocess` makes it.

        Returns:
            N×H×W float32.

        Raises:
            EngineError: the device failed.
        """
        ...


def open_engine(name: str, bundle: Bundle, device: Device) -> Engine:
    """Load the bundle. Frameworks are imported here, in the process that owns the device, and nowhere else.

    Raises:
        DeviceError: this machine, or the installed framework, has no such device.
        BundleError: the graph cannot be loaded.
    """
    if name == "paddle":
        from worker.inference.engines.paddle import PaddleEngine

        return PaddleEngine(bundle, device)
    raise SettingsError(f"engine {name!r} is unknown; allowed are {', '.join(ENGINES)}")
