"""`model.json`: all that a program has to know that runs an exported graph with a runtime alone."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from worker import __version__
from worker.inference.bundle import Bundle
from worker.inference.postprocess import OPENING_RADIUS


@dataclass(frozen=True, slots=True)
class Ends:
    """The names of a graph's input and output, None where its runtime counts them, and whether it takes the frames'
    bytes: N×h×w×3 uint8, else N×3×h×w float32, normalised."""

    input: str | None
    output: str | None
    takes_bytes: bool = True


def describe(bundle: Bundle, ends: Ends, **told: Any) -> str:
    """The content of `model.json`.

    Args:
        told: what was exported: `format`, `precision`, `file`, `sha256`, `verified` and what else there is to say.
    """
    height, width = bundle.transforms.map_shape
    scales, shifts = (
        [float(value) for value in values] for values in zip(*bundle.transforms.scales_and_shifts(), strict=True)
    )
    shape = ["N", height, width, 3] if ends.takes_bytes else ["N", 3, height, width]
    description = {
        "model": bundle.identity,
        "made_by": f"line-worker {__version__}",
        **told,
        "input": {
            **_name(ends.input),
            "dtype": "uint8" if ends.takes_bytes else "float32",
            "shape": shape,
            "layout": "NHWC" if ends.takes_bytes else "NCHW",
            "colour": "RGB",
        },
        "output": {**_name(ends.output), "dtype": "float32", "shape": ["N", 1, height, width]},
        "resize": {
            "width": width,
            "height": height,
            "interpolation": bundle.transforms.interpolation.replace("BICUBIC", "CUBIC"),
        },
        # What the input is made of the picture's bytes with: value * scale + shift, a channel; null: the graph does it.
        "normalise": None if ends.takes_bytes else {"scale": scales, "shift": shifts},
        # The mask is where the map, opened with a disk of this radius, is above the threshold; the score its maximum.
        "opening_radius": OPENING_RADIUS,
        "threshold": bundle.threshold,
        "camera_thresholds": dict(bundle.camera_thresholds),
    }
    return json.dumps(description, indent=2, ensure_ascii=False) + "\n"


def _name(name: str | None) -> dict[str, str | int]:
    return {"index": 0} if name is None else {"name": name}
