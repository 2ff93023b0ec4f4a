"""A generated production line: pictures of a brushed steel flange, with defects by a known schedule.

It stands in for a camera (`test://`) in the demo and in tests. Everything follows from (seed, seq): the same
pair gives the same picture for ever, so that whoever knows the seed can work out the truth, while the picture
carries no trace of it. Seeds are cameras over the same kind of part, each with its own light and pose, so one
model serves them all. A part costs about 3 ms at 256×256 on one core.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from worker.capture.defects import KINDS, spoil
from worker.capture.drawing import Plane, draw_part
from worker.types import Image

GOOD = "good"
Generator = np.random.Generator

_NOTHING, _POSE, _SCHEDULE = 0, 1, 2  # what a stream of random numbers is for


@dataclass(frozen=True, slots=True)
class Schedule:
    """When parts are bad: in each `cycle` of parts one run of bad ones, as of a broken tool, and `singles`.

    The run has `run[0]` to `run[1]` parts of one kind and lies near the middle of the cycle; singles lie
    away from it. The default makes 10 to 15 % bad parts.
    `Schedule(run=(0, 0), singles=0)` makes good parts only.
    """

    cycle: int = 48
    run: tuple[int, int] = (4, 6)
    singles: int = 1

    def __post_init__(self) -> None:
        shortest, longest = self.run
        if not 0 <= shortest <= longest <= self.cycle // 4:
            raise ValueError(f"run must be two lengths from 0 to a quarter of the cycle, not {self.run}")
        if not 0 <= self.singles <= self.cycle // 8:
            raise ValueError(f"singles must be from 0 to an eighth of the cycle, not {self.singles}")


@dataclass(frozen=True, slots=True)
class GeneratedPart:
    """One picture and the truth about it.

    `image` is H×W×3 RGB uint8; `mask` is H×W uint8, 255 where the defect is, else 0; `kind` is `good` or one
    of `defects.KINDS`.
    """

    image: Image
    defective: bool
    kind: str
    mask: npt.NDArray[np.uint8]


class GeneratedLine:
    """One generated camera. `size` is the pictures' height and width in pixels, 64 to 4096."""

    def __init__(self, seed: int, size: int = 256, schedule: Schedule | None = None) -> None:
        if seed < 0 or not 64 <= size <= 4096:
            raise ValueError(f"seed must not be negative and size be 64 to 4096, not {seed} and {size}")
        self.seed = seed
        self.size = size
        self.schedule = schedule or Schedule()
        random = np.random.default_rng([seed, 0, _POSE])
        self._shift = random.uniform(-0.006, 0.006, 2)  # of the size
        self._angle = random.uniform(-0.45, 0.45)  # degrees
        self._tint = np.array([1.0, 0.985, 0.955]) * random.uniform(0.985, 1.015, 3)
        self._light = _light(size, random.uniform(0, 2 * np.pi), random.uniform(0.05, 0.12))

    def part(self, seq: int) -> GeneratedPart:
        """The part with this number, 0 and up."""
        return self.render(seq, self.kind(seq))

    def kind(self, seq: int) -> str:
        """What the schedule has for this part, without drawing it: `good` or one of `defects.KINDS`."""
        cycle, place = divmod(seq, self.schedule.cycle)
        return dict(_bad_parts(self.schedule, self.seed, cycle)).get(place, GOOD)

    def render(self, seq: int, kind: str) -> GeneratedPart:
        """The part with this number, good or with a defect of this kind whatever the schedule says."""
        random = np.random.default_rng([self.seed, seq, _NOTHING])
        drawing = draw_part(self.size)
        surface = drawing.albedo * (1 + drawing.metal * _brushing(self.size, random))
        picture = surface[:, :, None] * self._tint.astype(np.float32)
        mask = spoil(picture, drawing.metal, kind, random)
        pose = self._pose(random)
        size = (self.size, self.size)
        picture = cv2.warpAffine(picture, pose, size, borderMode=cv2.BORDER_REPLICATE)
        mask = cv2.warpAffine(mask, pose, size, flags=cv2.INTER_NEAREST)
        picture *= (self._light * random.uniform(0.96, 1.04))[:, :, None]
        picture += _noise(self.size, random)[:, :, None]
        image = np.clip(picture, 0, 255).astype(np.uint8)
        return GeneratedPart(image, kind != GOOD, kind, mask)

    def _pose(self, random: Generator) -> npt.NDArray[np.float64]:
        """Where this part lies: up to 1.2 % of the size and 0.9 degrees off, the camera's share included."""
        angle = self._angle + random.uniform(-0.45, 0.45)
        shift = (self._shift + random.uniform(-0.006, 0.006, 2)) * self.size
        pose: npt.NDArray[np.float64] = cv2.getRotationMatrix2D((self.size / 2, self.size / 2), angle, 1.0)
        pose[:, 2] += shift
        return pose


@lru_cache(maxsize=256)
def _bad_parts(schedule: Schedule, seed: int, cycle: int) -> tuple[tuple[int, str], ...]:
    """Places within one cycle, each with its kind of defect."""
    random = np.random.default_rng([seed, cycle, _SCHEDULE])
    length = int(random.integers(schedule.run[0], schedule.run[1] + 1))
    eighth = schedule.cycle // 8
    start = int(random.integers(3 * eighth, 4 * eighth))  # so that runs begin about a cycle apart
    kind = str(random.choice(KINDS))
    bad = {start + step: kind for step in range(length)}
    away = [*range(2 * eighth), *range(6 * eighth + eighth // 2, schedule.cycle - 1)]
    for place in random.choice(away, schedule.singles, replace=False):
        bad[int(place)] = str(random.choice(KINDS))
    return tuple(sorted(bad.items()))


def _light(size: int, direction: float, depth: float) -> Plane:
    """H×W: light that falls off by `depth` to either side along a direction (radians)."""
    across = np.linspace(-1, 1, size, dtype=np.float32)
    slope = np.cos(direction) * across[None, :] + np.sin(direction) * across[:, None]
    return np.asarray(1 + depth * slope, np.float32)


def _brushing(size: int, random: Generator) -> Plane:
    """H×W around 0: streaks along x, as brushing leaves them."""
    grain = random.integers(-128, 128, (size, size), dtype=np.int8).astype(np.float32) / 128
    streaks = cv2.blur(grain, (max(3, size // 10), 1), borderType=cv2.BORDER_REFLECT)
    return np.asarray(streaks * 0.45, np.float32)


def _noise(size: int, random: Generator) -> Plane:
    """H×W grey levels around 0: the sensor's noise, standard deviation about 2."""
    bits = random.integers(0, 256, (2, size, size), dtype=np.uint8).astype(np.float32)
    return np.asarray((bits[0] + bits[1] - 255) * (2 / 104.5), np.float32)
