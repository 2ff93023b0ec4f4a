"""The training of the builtin teacher, in PyTorch; goes on where it was broken off."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from worker.training.fitting.torch_fitter import backbone, fast_bfloat16
from worker.training.pretraining.chunks import chunks
from worker.training.pretraining.places import place_loss
from worker.training.pretraining.scenes import Scenes
from worker.training.pretraining.tasks import TASKS, Answers, Head, Tensor, answers_of
from worker.training.pretraining.views import two_views
from worker.training.weights import Weights, draw, fold

_CHANNELS = (64, 128, 256)
_PASSES = 2  # over a chunk, each with other views
_WARM_UP = 300
_WEIGHT_DECAY = 0.02
_MOST_GRADIENT = 5.0
_PLACES = 32  # of an image that are asked, at most


@dataclass(frozen=True, slots=True)
class Lesson:
    """So many steps, from this rate along a cosine to none, with these shares of the losses of TASKS."""

    steps: int
    rate: float
    shares: tuple[float, float, float, float]


SEEING = Lesson(5000, 2e-3, (0.0, 1.0, 0.5, 4.0))
COMPARING = Lesson(3000, 1e-3, (1.0, 0.2, 0.3, 0.5))


@dataclass(frozen=True, slots=True)
class Course:
    """First to see what is there, then to compare it: who compares from the first step on never learns textures.

    `batch_size` crops a step, each in two views; `chunk` scenes are drawn at a time.
    """

    lessons: tuple[Lesson, ...] = (SEEING, COMPARING)
    batch_size: int = 32
    programs: int = 1000
    pictures: int = 8
    chunk: int = 8192
    save_every: int = 500
    seed: int = 0

    @property
    def steps(self) -> int:
        """Of all lessons."""
        return sum(lesson.steps for lesson in self.lessons)

    def at(self, step: int) -> tuple[float, tuple[float, ...]]:
        """The rate of a step, and the shares of the losses."""
        lessons = iter(self.lessons)
        lesson = next(lessons)
        while step >= lesson.steps:
            step -= lesson.steps
            lesson = next(lessons)
        cosine = 0.5 * (1 + math.cos(math.pi * step / lesson.steps))
        return lesson.rate * cosine * min(1.0, (step + 1) / _WARM_UP), lesson.shares


Report = Callable[[int, list[float]], None]
"""Called after each step with the steps done and the loss of each task."""


def pretrain(course: Course, work: Path, report: Report) -> Weights:
    """Train a backbone, from `work`'s checkpoint on if there is one; its folded weights."""
    return _Pretraining(course, work, report).run()


class _Pretraining:
    def __init__(self, course: Course, work: Path, report: Report) -> None:
        torch.set_num_threads(len(os.sched_getaffinity(0)))
        torch.manual_seed(course.seed)
        self._course, self._work, self._report = course, work, report
        self._network = backbone(draw(course.seed), folded=False)
        self._heads = nn.ModuleList(Head(channels, course.programs) for channels in _CHANNELS)
        self._learned = [*self._network.parameters(), *self._heads.parameters()]
        self._optimiser = torch.optim.AdamW(self._learned, weight_decay=_WEIGHT_DECAY)
        self._half = fast_bfloat16()
        self._step = 0
        self._load()

    def run(self) -> Weights:
        course = self._course
        for random, scenes, numbers in self._batches():
            if self._step >= course.steps:
                break
            losses = self._descend(random, scenes, numbers)
            self._step += 1
            if self._step % course.save_every == 0 or self._step == course.steps:
                self._save()
            self._report(self._step, losses.tolist())
        return fold(self._network.weights())

    def _batches(self) -> Iterator[tuple[np.random.Generator, Scenes, npt.NDArray[np.int_]]]:
        """From the step on that comes next: its random numbers, a chunk, and which of its scenes to learn from."""
        course, size = self._course, self._course.batch_size
        each = course.chunk // size * _PASSES
        number, at = divmod(self._step, each)
        for scenes in chunks(self._work, course.programs, course.pictures, course.chunk, course.seed, number):
            random = np.random.default_rng([course.seed, 1, number])
            order = np.concatenate([random.permutation(course.chunk) for _ in range(_PASSES)])
            for batch in range(at, each):
                own = np.random.default_rng([course.seed, 2, number * each + batch])
                yield own, scenes, order[batch * size : (batch + 1) * size]
            number, at = number + 1, 0

    def _descend(self, random: np.random.Generator, scenes: Scenes, numbers: npt.NDArray[np.int_]) -> Tensor:
        """One step; the loss of each task, summed over the stages."""
        self._optimiser.param_groups[0]["lr"], shares = self._course.at(self._step)
        right = answers_of(
            torch.from_numpy(scenes.programs[numbers]),
            torch.from_numpy(scenes.defects[numbers]),
            torch.from_numpy(scenes.clean[numbers]).float() / 255,
        )
        self._network.train()
        losses = torch.zeros(len(TASKS))
        with torch.autocast("cpu", torch.bfloat16, enabled=self._half):
            features = self._network(two_views(random, scenes.images[numbers]))
        for head, layer, answers in zip(self._heads, features, right, strict=True):
            place = place_loss(random, layer, answers.programs, answers.defects)
            losses = losses + torch.cat([place[None], self._asked(random, head, layer, answers)])
        self._optimiser.zero_grad()
        (losses * torch.tensor(shares)).sum().backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._learned, _MOST_GRADIENT)
        self._optimiser.step()
        return losses.detach()

    def _asked(self, random: np.random.Generator, head: nn.Module, layer: Tensor, right: Answers) -> Tensor:
        """The losses of a stage's head, at some places of both views."""
        assert isinstance(head, Head)
        rows = layer.permute(0, 2, 3, 1).reshape(-1, layer.shape[1])
        most = min(len(rows), 2 * self._course.batch_size * _PLACES)
        places = torch.from_numpy(random.choice(len(rows), most, replace=False))
        with torch.autocast("cpu", torch.bfloat16, enabled=self._half):
            answers = head(rows[places])
        return head.losses(answers, right.at(places % (len(rows) // 2)))

    def _parts(self) -> dict[str, dict[str, Tensor]]:
        moments = {
            f"{number}.{name}": value
            for number, state in self._optimiser.state_dict()["state"].items()
            for name, value in state.items()
        }
        return {"network": self._network.state_dict(), "heads": self._heads.state_dict(), "moments": moments}

    def _save(self) -> None:
        arrays = {
            f"{part}/{name}": value.numpy() for part, values in self._parts().items() for name, value in values.items()
        }
        np.savez(self._work / "part.npz", step=np.array(self._step), **arrays)  # type: ignore[arg-type]
        (self._work / "part.npz").replace(self._work / "checkpoint.npz")

    def _load(self) -> None:
        file = self._work / "checkpoint.npz"
        if not file.is_file():
            return
        with np.load(file) as arrays:
            self._step = int(arrays["step"])
            named = {name: torch.from_numpy(arrays[name]) for name in arrays.files if "/" in name}
        self._network.load_state_dict(_below(named, "network/"))
        self._heads.load_state_dict(_below(named, "heads/"))
        state: dict[int, dict[str, Any]] = {}
        for name, value in _below(named, "moments/").items():
            number, _, what = name.partition(".")
            state.setdefault(int(number), {})[what] = value
        self._optimiser.load_state_dict({**self._optimiser.state_dict(), "state": state})


def _below(named: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in named.items() if name.startswith(prefix)}
