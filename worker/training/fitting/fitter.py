"""What a framework does for the fit, and which one is taken."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from worker.devices import Device, check_cores, pin
from worker.errors import SettingsError
from worker.training.fitting.recipe import Recipe
from worker.training.weights import Weights

AUTO, PADDLE, TORCH = "auto", "paddle", "torch"
FITTERS = (AUTO, PADDLE, TORCH)

VELOCITY = "velocity."
"""In a fitter's state, before the name of the parameter that moves with it."""

Inputs = npt.NDArray[np.float32]
"""n×3×H×W, normalised."""

Features = Sequence[npt.NDArray[Any]]
"""Of layer1 to layer3, n×C×h×w, L2-normalised over channels; float16 where they are kept."""


class Fitter(Protocol):
    """A teacher and a student in one framework, on one device. The same calls give the same numbers."""

    name: str
    """Framework, precision and threads: a fit goes on only with what it began with, since others round otherwise."""

    leads: bool
    """False in all processes but the first where several fit together: the first one writes what comes of it."""

    def wait(self) -> None:
        """Until all processes that fit together are here."""
        ...

    def features(self, inputs: Inputs) -> list[npt.NDArray[np.float16]]:
        """The teacher's features."""
        ...

    def step(self, inputs: Inputs, teacher: Features, rate: float) -> float:
        """One step of descent on these images at this learning rate; the loss before it."""
        ...

    def loss(self, inputs: Inputs, teacher: Features) -> float:
        """The loss of images that are not learned from."""
        ...

    def state(self) -> dict[str, npt.NDArray[np.float32]]:
        """All that the next step depends on, as arrays."""
        ...

    def load(self, state: dict[str, npt.NDArray[np.float32]]) -> None:
        """Take a state that `state` gave."""
        ...

    def student(self) -> Weights:
        """The student's parameters and statistics by torchvision's names."""
        ...


def student_of(state: dict[str, npt.NDArray[np.float32]]) -> Weights:
    """The student in a fitter's state."""
    return {name: value for name, value in state.items() if not name.startswith(VELOCITY)}


def torch_is_here() -> bool:
    """Whether the extra that fits several times as fast on a CPU is installed."""
    return find_spec("torch") is not None


def open_fitter(name: str, teacher: Weights, recipe: Recipe, device: Device) -> Fitter:
    """A fitter with a fresh student, drawn by the recipe's seed.

    Args:
        name: `paddle`, `torch`, or `auto`: torch for a CPU where it is installed, since it is several times as fast.

    Raises:
        SettingsError: torch is not installed, or asked for on another device than a CPU.
        DeviceError: there is no such device here.
    """
    check_cores(device)
    pin(device)
    has_torch = torch_is_here()
    if name == AUTO:
        name = TORCH if has_torch and device.kind == "cpu" else PADDLE
    if name == PADDLE:
        from worker.training.fitting.paddle_fitter import PaddleFitter

        return PaddleFitter(teacher, recipe, device)
    if not has_torch:
        raise SettingsError("--fitter torch takes PyTorch: pip install 'line-worker[torch]'")
    if device.kind != "cpu":
        raise SettingsError(f"--fitter torch fits on CPUs only, not on {device}: take paddle")
    from worker.training.fitting.torch_fitter import TorchFitter

    return TorchFitter(teacher, recipe)
