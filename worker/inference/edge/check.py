"""Whether an export says what paddle says: scores of the same frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from worker.devices import Device
from worker.errors import EngineRefused
from worker.inference.bundle import Bundle
from worker.inference.engines import REFERENCE, Variant, open_engine
from worker.inference.preprocess import resized
from worker.inference.selection.golden import Frames, read_golden, spread, with_altered
from worker.inference.selection.measure import score
from worker.inference.selection.parity import Parity, Scores, compare
from worker.types import Image


@dataclass(frozen=True, slots=True)
class Reference:
    """Frames of the graph's size, N×h×w×3 uint8, with paddle's scores in fp32, and where the frames are from."""

    frames: Frames
    scores: Scores
    origin: str


def reference(bundle: Bundle, images: Sequence[Image]) -> Reference:
    """What to compare with: these images and altered copies, else what the bundle brings, else generated patterns.

    Raises:
        BundleError: the bundle's golden frames cannot be read, or paddle cannot load the model.
    """
    if images:
        frames = with_altered(spread([resized(image, bundle.transforms) for image in images]))
        return Reference(frames, scores_of(REFERENCE, bundle, frames), "images")
    golden = read_golden(bundle)
    if golden.scores is not None:
        return Reference(golden.frames, golden.scores, "golden frames")
    return Reference(golden.frames, scores_of(REFERENCE, bundle, golden.frames), "generated patterns")


def scores_of(variant: Variant, bundle: Bundle, frames: Frames) -> Scores:
    """The scores that a graph of the bundle gives these frames on the CPU."""
    return score(open_engine(variant, bundle, Device("cpu")), frames)


def compared(scores: Scores, known: Reference, threshold: float) -> Parity:
    """How far the scores are from paddle's.

    Raises:
        EngineRefused: one of them is not finite.
    """
    if not np.isfinite(scores).all():
        raise EngineRefused("the exported graph gives scores that are not finite; not written")
    return compare(scores, known.scores, threshold)
