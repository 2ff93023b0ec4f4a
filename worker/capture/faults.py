"""What goes wrong with a generated camera when it is told to: `test://?fault=dark`.

From part 48 of every 96 on, to the last of them, each picture has the fault; the parts before are as they should be. So
the truth about a frame follows from its number, as it does for defects.
"""

from __future__ import annotations

import cv2
import numpy as np

from worker.capture.generated import GeneratedLine
from worker.types import Image

CYCLE, BEGINS = 96, 48


def is_faulty(number: int) -> bool:
    """Whether the part with this number falls into a stretch with the fault."""
    return number % CYCLE >= BEGINS


def picture_with_fault(line: GeneratedLine, number: int, fault: str) -> Image:
    """The part's picture, spoilt where its number says so; `fault` is empty or one of `url.FAULTS`."""
    if not fault or not is_faulty(number):
        return line.part(number).image
    if fault == "frozen":
        return line.part(number - number % CYCLE + BEGINS).image
    picture = line.part(number).image.astype(np.float32)
    if fault == "dark":
        picture *= 0.04
    elif fault == "blown_out":
        picture *= 6.0
    else:  # the noise of the sensor stays as it is, behind the lens
        noise = np.random.default_rng([line.seed, number]).normal(0, 2, (*picture.shape[:2], 1))
        picture = cv2.GaussianBlur(picture, (0, 0), line.size / 32) + noise
    return np.clip(picture, 0, 255).astype(np.uint8)
