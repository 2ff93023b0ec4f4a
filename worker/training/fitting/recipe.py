"""How a student is fitted: the numbers that a user may set."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_serializer, field_validator

Side = Annotated[int, Field(ge=32, le=2048, multiple_of=16)]

LayerWeight = Annotated[float, Field(ge=0, le=4)]
LayerWeights = tuple[LayerWeight, LayerWeight, LayerWeight]
"""Powers that the distances of layer1, layer2 and layer3 are raised to before they are multiplied; 0 leaves one out."""

Statistics = Literal["running", "settled"]
"""BatchNorm's of the student: as they ran after the weights in the fit, or taken anew with the weights at rest."""

RUNNING: Statistics = "running"
SETTLED: Statistics = "settled"

AS_PUBLISHED: LayerWeights = (1.0, 1.0, 1.0)


class Recipe(BaseModel):
    """The defaults of the fit are those of the paper (Wang et al. 2021): 100 epochs, batches of 32, a rate of 0.4.

    `equalise`, `layer_weights` and `statistics` differ from it: False, (1, 1, 1) and `running` there.
    `equalise` makes the teacher's channels count alike on the good images (`worker.training.teachers.equalise`).
    `layer_weights` halve from layer to layer: a finer one has more places, so that the highest distance of a good
    image lies further out, and hides what the coarser ones see.
    `statistics` `auto` takes those that tell painted defects better (`worker.training.statistics`).
    `size` is (H, W) of the graph's input; layer3's features have a sixteenth of it.
    `patience` ends the fit after so many epochs without a lower validation loss, and takes the student of the
    lowest; 0: all epochs, and the last student.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(100, ge=1, le=100_000)
    batch_size: int = Field(32, ge=1, le=4096)
    learning_rate: float = Field(0.4, gt=0, le=10, allow_inf_nan=False)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(1e-4, ge=0, lt=1)
    schedule: Literal["constant", "step", "cosine"] = "constant"
    warmup_steps: int = Field(0, ge=0)
    size: tuple[Side, Side] = (256, 256)
    equalise: bool = True
    layer_weights: LayerWeights = (0.25, 0.5, 1.0)
    statistics: Statistics | Literal["auto"] = "auto"
    patience: int = Field(0, ge=0)
    seed: int = Field(0, ge=0, lt=2**32)

    @field_validator("layer_weights", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        """`0.25,0.5,1`, as people write it."""
        return tuple(value.split(",")) if isinstance(value, str) else value

    @field_validator("layer_weights")
    @classmethod
    def _not_all_left_out(cls, weights: LayerWeights) -> LayerWeights:
        if not any(weights):
            raise ValueError("one layer at least must count")
        return weights

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
