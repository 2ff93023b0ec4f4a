"""The fit in paddle: on any device that paddle knows, and over several by `paddle.distributed.launch`."""

from __future__ import annotations

import os

import numpy as np
import numpy.typing as npt

from worker.devices import Device, index_here
from worker.errors import DeviceError
from worker.inference.engines.paddle import check_device
from worker.training.fitting.fitter import VELOCITY, Features, Inputs, student_of
from worker.training.fitting.recipe import Recipe
from worker.training.framework import F, on_one_thread, paddle
from worker.training.network import Tensor, distances, folded_backbone, fresh_student
from worker.training.weights import STUDENT, Weights, draw


class PaddleFitter:
    """See `Fitter`. The optimiser is written out, so that its state is plain arrays by the parameters' names.

    Launched as several processes, each takes its part of a batch, and gradients are averaged over them.
    """

    def __init__(self, teacher: Weights, recipe: Recipe, device: Device) -> None:
        check_device(device)
        on_one_thread()
        self._together = paddle.distributed.ParallelEnv()
        try:
            paddle.set_device(self._own(device))
            if self._together.world_size > 1:
                paddle.distributed.init_parallel_env()
        except Exception as error:  # paddle raises many kinds, some of its own
            raise DeviceError(f"device {device}: paddle cannot use it: {error}") from error
        self.name = f"paddle fp32 on {device.kind}, {self._together.world_size} processes"
        self._recipe = recipe
        self._teacher = folded_backbone(teacher)
        self._student = fresh_student(draw(recipe.seed, STUDENT))
        named = self._student.named_parameters()  # BatchNorm's statistics among them, which are not learned
        self._learned = {name: parameter for name, parameter in named if not parameter.stop_gradient}
        self._velocity = {name: paddle.zeros_like(parameter) for name, parameter in self._learned.items()}
        self.leads = self._together.rank == 0

    def wait(self) -> None:
        """See `Fitter`."""
        if self._together.world_size > 1:
            paddle.distributed.barrier()

    def features(self, inputs: Inputs) -> list[npt.NDArray[np.float16]]:
        """See `Fitter`."""
        with paddle.no_grad():
            layers = self._teacher(paddle.to_tensor(inputs))
            return [F.normalize(layer, axis=1).numpy().astype(np.float16) for layer in layers]

    def step(self, inputs: Inputs, teacher: Features, rate: float) -> float:
        """See `Fitter`."""
        self._student.train()
        processes = self._together.world_size
        mine = slice(self._together.rank, None, processes) if len(inputs) >= 2 * processes else slice(None)
        loss = self._loss(inputs[mine], [layer[mine] for layer in teacher])
        loss.backward()
        with paddle.no_grad():
            self._descend(rate)
            loss = self._mean(loss)
        return float(loss)

    def loss(self, inputs: Inputs, teacher: Features) -> float:
        """See `Fitter`."""
        self._student.eval()
        with paddle.no_grad():
            return float(self._loss(inputs, teacher))

    def state(self) -> dict[str, npt.NDArray[np.float32]]:
        """See `Fitter`."""
        return self.student() | {f"{VELOCITY}{name}": value.numpy() for name, value in self._velocity.items()}

    def load(self, state: dict[str, npt.NDArray[np.float32]]) -> None:
        """See `Fitter`."""
        self._student.load(student_of(state))
        for name, velocity in self._velocity.items():
            velocity.set_value(state[f"{VELOCITY}{name}"])

    def student(self) -> Weights:
        """See `Fitter`."""
        return self._student.weights()

    def _loss(self, inputs: Inputs, teacher: Features) -> Tensor:
        kept = [paddle.to_tensor(np.asarray(layer, np.float32)) for layer in teacher]
        return stfpm_loss(kept, self._student(paddle.to_tensor(inputs)))

    def _descend(self, rate: float) -> None:
        """Momentum as paddle's own optimiser has it: v = momentum·v + gradient + decay·w; w = w - rate·v."""
        for name, parameter in self._learned.items():
            gradient = self._mean(parameter.grad)
            velocity = self._velocity[name]
            velocity.set_value(
                self._recipe.momentum * velocity + gradient + self._recipe.weight_decay * parameter,
            )
            parameter.set_value(parameter - rate * velocity)
            parameter.clear_gradient(False)

    def _own(self, device: Device) -> str:
        """Each of several processes has a device of its own, which whoever launched them chose."""
        if device.kind == "cpu":
            return "cpu"
        alone = self._together.world_size == 1
        return f"{device.kind}:{index_here(device, os.environ) if alone else self._together.device_id}"

    def _mean(self, value: Tensor) -> Tensor:
        """Over all the processes that take part."""
        if self._together.world_size == 1:
            return value
        paddle.distributed.all_reduce(value)
        return value / self._together.world_size


def stfpm_loss(teacher: list[Tensor], student: list[Tensor]) -> Tensor:
    """Half the squared distance of the normalised features: mean over pixels, sum over layers; a scalar."""
    return sum(0.5 * distance.mean() for distance in distances(teacher, student))
