"""The fit in PyTorch: on CPUs several times as fast as paddle's, by channels-last convolutions and bfloat16.

The network is `worker.training.network`'s with the same names, so that the weights move over as they are.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from worker.training.fitting.fitter import VELOCITY, Features, Inputs, student_of
from worker.training.fitting.recipe import Recipe
from worker.training.weights import STUDENT, Weights, draw

_STAGES = ((64, 64, 1), (64, 128, 2), (128, 256, 2))

Tensor = torch.Tensor


class TorchFitter:
    """See `Fitter`. The student computes in bfloat16 where the CPU has instructions for it, else in float32.

    Weights, statistics and the optimiser are float32 either way.
    """

    leads = True

    def __init__(self, teacher: Weights, recipe: Recipe, half: bool | None = None) -> None:
        torch.set_num_threads(len(os.sched_getaffinity(0)))
        self._half = fast_bfloat16() if half is None else half
        self.name = f"torch {'bf16' if self._half else 'fp32'}, {torch.get_num_threads()} threads"
        self._teacher = backbone(teacher, folded=True).eval()
        self._student = backbone(draw(recipe.seed, STUDENT), folded=False)
        self._optimiser = torch.optim.SGD(
            self._student.parameters(),
            recipe.learning_rate,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
        )

    def wait(self) -> None:
        """See `Fitter`: there is but one process."""

    def features(self, inputs: Inputs) -> list[npt.NDArray[np.float16]]:
        """See `Fitter`; always computed in float32."""
        with torch.no_grad():
            layers = self._teacher(_channels_last(inputs))
            return [np.ascontiguousarray(F.normalize(layer, dim=1).numpy()).astype(np.float16) for layer in layers]

    def step(self, inputs: Inputs, teacher: Features, rate: float) -> float:
        """See `Fitter`."""
        self._student.train()
        loss = self._loss(inputs, teacher)
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimiser.param_groups[0]["lr"] = rate
        self._optimiser.step()
        return float(loss.detach())

    def loss(self, inputs: Inputs, teacher: Features) -> float:
        """See `Fitter`."""
        self._student.eval()
        with torch.no_grad():
            return float(self._loss(inputs, teacher))

    def state(self) -> dict[str, npt.NDArray[np.float32]]:
        """See `Fitter`."""
        velocities = {
            f"{VELOCITY}{name}": self._optimiser.state[parameter]["momentum_buffer"].numpy().copy()
            for name, parameter in self._student.named_parameters()
            if "momentum_buffer" in self._optimiser.state[parameter]
        }
        return self.student() | velocities

    def load(self, state: dict[str, npt.NDArray[np.float32]]) -> None:
        """See `Fitter`."""
        self._student.load(student_of(state))
        for name, parameter in self._student.named_parameters():
            if (velocity := state.get(f"{VELOCITY}{name}")) is not None:
                buffer = torch.from_numpy(velocity.copy()).to(memory_format=_format(velocity))
                self._optimiser.state[parameter]["momentum_buffer"] = buffer

    def student(self) -> Weights:
        """See `Fitter`."""
        return self._student.weights()

    def _loss(self, inputs: Inputs, teacher: Features) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=self._half):
            layers = self._student(_channels_last(inputs))
        total = torch.zeros(())
        for kept, layer in zip(teacher, layers, strict=True):
            wanted = torch.from_numpy(np.asarray(kept, np.float32))
            total = total + 0.5 * (wanted - F.normalize(layer.float(), dim=1)).square().sum(1).mean()
        return total


def fast_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 itself (AVX-512 BF16 or AMX); where it does not, float32 is faster."""
    asked = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(supported() for supported in asked if supported is not None)


def backbone(weights: Weights, folded: bool) -> Backbone:
    """A network with these weights; a BatchNorm that has none of its own begins as torch's and paddle's do."""
    network = Backbone(folded).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    assert isinstance(network, Backbone)
    network.load({**network.weights(), **weights})
    return network


class Block(nn.Module):
    """Two 3×3 convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int, folded: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=folded)
        self.bn1 = _normalisation(outputs, folded)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=folded)
        self.bn2 = _normalisation(outputs, folded)
        self.downsample: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=folded)
            self.downsample = nn.Sequential(shortcut, _normalisation(outputs, folded))

    def forward(self, x: Tensor) -> Tensor:
        """N×C×H×W to N×C'×H'×W', rectified."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(x)) + shortcut, inplace=True)


class Backbone(nn.Module):
    """ResNet18 from conv1 to layer3: see `worker.training.network.Backbone`."""

    def __init__(self, folded: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=folded)
        self.bn1 = _normalisation(64, folded)
        stages = [
            nn.Sequential(Block(inputs, outputs, stride, folded), Block(outputs, outputs, 1, folded))
            for inputs, outputs, stride in _STAGES
        ]
        self.layer1, self.layer2, self.layer3 = stages

    def forward(self, x: Tensor) -> list[Tensor]:
        """Features of layer1 to layer3: N×64×H/4×W/4, N×128×H/8×W/8, N×256×H/16×W/16."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x)), inplace=True), 3, 2, 1)
        first = self.layer1(x)
        second = self.layer2(first)
        return [first, second, self.layer3(second)]

    def load(self, weights: Weights) -> None:
        """Take every parameter by its torchvision name; both sides must have the same names and shapes."""
        counts = {name: value for name, value in self.state_dict().items() if name.endswith("num_batches_tracked")}
        self.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in weights.items()} | counts)

    def weights(self) -> Weights:
        """Every parameter and statistic as float32 numpy, by its torchvision name."""
        state = self.state_dict()
        return {
            name: np.ascontiguousarray(value.numpy()).copy()
            for name, value in state.items()
            if value.is_floating_point()
        }


def _normalisation(channels: int, folded: bool) -> nn.Module:
    return nn.Identity() if folded else nn.BatchNorm2d(channels)


def _channels_last(inputs: Inputs) -> Tensor:
    return torch.from_numpy(inputs).contiguous(memory_format=torch.channels_last)


def _format(array: npt.NDArray[Any]) -> torch.memory_format:
    return torch.channels_last if array.ndim == 4 else torch.contiguous_format
