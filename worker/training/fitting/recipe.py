"""How a student is fitted: the numbers that a user may set."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_serializer, field_validator

Side = Annotated[int, Field(ge=32, le=2048, multiple_of=16)]

Layers = tuple[Literal[1, 2, 3], ...]
"""Those of layer1 to layer3 whose distances are multiplied, by their numbers."""

ALL_LAYERS: Layers = (1, 2, 3)


class Recipe(BaseModel):
    """The defaults of the fit are those of the paper (Wang et al. 2021): 100 epochs, batches of 32, a rate of 0.4.

    `equalise` and `layers` differ from it: True and `auto` here, False and (1, 2, 3) there.
    `equalise` makes the teacher's channels count alike on the good images (`worker.training.teachers.equalise`).
    `layers` `auto` takes those that tell painted defects best (`worker.training.layers`).
    `size` is (H, W) of the graph's input; layer3's features have a sixteenth of it.
    `patience` ends the fit after so many epochs without a lower validation loss, and takes the student of the
    lowest; 0: all epochs, and the last student.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(100, ge=1, le=100_000)
    batch_size: int = Field(32, ge=2, le=4096)
    learning_rate: float = Field(0.4, gt=0, le=10, allow_inf_nan=False)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(1e-4, ge=0, lt=1)
    schedule: Literal["constant", "step", "cosine"] = "constant"
    warmup_steps: int = Field(0, ge=0)
    size: tuple[Side, Side] = (256, 256)
    equalise: bool = True
    layers: Annotated[Layers, Field(min_length=1)] | Literal["auto"] = "auto"
    patience: int = Field(0, ge=0)
    seed: int = Field(0, ge=0, lt=2**32)

    @field_validator("layers", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        """`2,3`, as people write it, is the layers 2 and 3."""
        if value == "auto":
            return value
        given = value if isinstance(value, list | tuple) else str(value).split(",")
        layers = sorted({str(one).strip() for one in given})
        if not layers or not set(layers) <= {"1", "2", "3"} or len(layers) < len(given):
            raise ValueError("wanted auto, or some of 1, 2 and 3, as in 2,3")
        return tuple(int(layer) for layer in layers)

    @field_validator("size", mode="before")
    @classmethod
    def _height_and_width(cls, value: object) -> object:
        """`320x256`, as people write it, is a width of 320 and a height of 256."""
        if isinstance(value, tuple):
            return value
        width, _, height = str(value).lower().partition("x")
        if not (width.isdecimal() and height.isdecimal()):
            raise ValueError("wanted WIDTHxHEIGHT in pixels, as in 256x256")
        return int(height), int(width)

    @field_serializer("size")
    def _width_and_height(self, size: tuple[int, int]) -> str:
        """As it is read."""
        height, width = size
        return f"{width}x{height}"

    def rate(self, step: int, steps: int) -> float:
        """The learning rate of a step, of 0 to steps - 1: `step` has a tenth of it for the last fifth."""
        share = 1.0
        if self.schedule == "step" and step >= steps - steps // 5:
            share = 0.1
        if self.schedule == "cosine":
            share = 0.5 * (1 + math.cos(math.pi * step / steps))
        if step < self.warmup_steps:
            share *= (step + 1) / self.warmup_steps
        return self.learning_rate * share
