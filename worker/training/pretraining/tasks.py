"""What the network has to say of every place of a crop, from each of its three stages.

place      which place of the same crop it is, seen in another light (`places`)
program    which texture it belongs to: scale, direction, shape and regularity, whatever its contrast
defect     whether something was painted there, and what: however faint, in whatever texture
edges      how strong edges are there, by direction and scale, at full contrast, in even light and without noise
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from worker.training.pretraining.defects import KINDS
from worker.training.pretraining.scenes import IGNORED, SIDE

Tensor = torch.Tensor

TASKS = ("place", "program", "defect", "edges")
STRIDES = (4, 8, 16)
_DIRECTIONS, _SCALES = 6, 3
EDGES = _DIRECTIONS * _SCALES
_HIDDEN = 192
_DEFECT_WEIGHTS = (0.15, *[1.0] * (len(KINDS) - 1))  # most places have none
_FLAT = 1e-2  # below this, there are no edges to speak of


@dataclass(frozen=True, slots=True)
class Answers:
    """One stage's right answers, a row a place: numbers of programs and defects, and EDGES floats."""

    programs: Tensor
    defects: Tensor
    edges: Tensor

    def at(self, places: Tensor) -> Answers:
        """Some of the rows, in any order, or again."""
        return Answers(self.programs[places], self.defects[places], self.edges[places])


class Head(nn.Module):
    """From a stage's features to the answers, through one hidden layer: n×C to n×(programs + defects + edges).

    Without the hidden layer the features would have to be the answers; so they only need to hold them.
    """

    def __init__(self, channels: int, programs: int) -> None:
        super().__init__()
        self.programs = programs
        answers = programs + len(KINDS) + EDGES
        self.layers = nn.Sequential(
            nn.Linear(channels, _HIDDEN), nn.BatchNorm1d(_HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, answers)
        )

    def forward(self, x: Tensor) -> Tensor:
        """n×C to n×answers."""
        answers: Tensor = self.layers(x)
        return answers

    def losses(self, answers: Tensor, right: Answers) -> Tensor:
        """The losses of program, defect and edges."""
        programs, defects, edges = torch.split(answers.float(), [self.programs, len(KINDS), EDGES], dim=1)
        weights = torch.tensor(_DEFECT_WEIGHTS)
        three = [
            F.cross_entropy(programs, right.programs, ignore_index=IGNORED, label_smoothing=0.05),
            F.cross_entropy(defects, right.defects, weight=weights),
            (edges - right.edges).square().sum(1).mean(),
        ]
        return torch.stack(three)


def answers_of(programs: Tensor, defects: Tensor, clean: Tensor) -> list[Answers]:
    """The right answers for each stage, places in the order of images, rows, columns.

    Args:
        programs, defects: n×96×96, numbers. A place has the program of its middle, and any defect in it.
        clean: n×96×96 float32, 0 to 1.
    """
    strengths = _edge_strengths(clean)
    found = []
    for stride in STRIDES:
        middle = slice(stride // 2, None, stride)
        painted = F.max_pool2d(defects.float()[:, None], stride, stride)
        edges = torch.cat([_brought_to(strength, SIDE // stride) for strength in strengths], 1)
        edges = edges / (edges.norm(dim=1, keepdim=True) + _FLAT)
        found.append(
            Answers(
                programs[:, middle, middle].reshape(-1).long(),
                painted.reshape(-1).long(),
                edges.permute(0, 2, 3, 1).reshape(-1, EDGES),
            )
        )
    return found


def _edge_strengths(clean: Tensor) -> list[Tensor]:
    """For each scale n×6×h×w: how much a pair of Gabor filters finds, one an edge, one a line."""
    filters, level, found = _filters(), clean[:, None], []
    for _ in range(_SCALES):
        padded = F.pad(level, (filters.shape[-1] // 2,) * 4, mode="reflect")
        both = F.conv2d(padded, filters).square()
        found.append((both[:, :_DIRECTIONS] + both[:, _DIRECTIONS:]).sqrt())
        level = F.avg_pool2d(level, 2)
    return found


def _brought_to(strength: Tensor, side: int) -> Tensor:
    if strength.shape[-1] >= side:
        return F.adaptive_avg_pool2d(strength, side)
    return F.interpolate(strength, size=(side, side))


def _filters() -> Tensor:
    """12×1×9×9: cosines, then sines, of six directions and a period of 5 pixels under a Gaussian."""
    y, x = np.mgrid[-4:5, -4:5].astype(np.float32)
    made = []
    for wave in (np.cos, np.sin):
        for direction in range(_DIRECTIONS):
            angle = np.pi * direction / _DIRECTIONS
            across = x * np.cos(angle) + y * np.sin(angle)
            gabor = np.exp(-(x**2 + y**2) / (2 * 1.8**2)) * wave(across * 2 * np.pi / 5)
            gabor -= gabor.mean()
            made.append(gabor / np.abs(gabor).sum())
    return torch.from_numpy(np.stack(made)[:, None].astype(np.float32))
