"""Measures one engine in one precision: `python -m worker.inference.selection.measure`, with its order as JSON on its
input and the measurement as the last line of its output.

A process of its own, because an engine that does not suit the machine may crash, and because a worker should carry
the memory of the chosen one alone.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from worker.devices import Device, parse_devices, pin
from worker.errors import LineError
from worker.inference.bundle import Bundle, load_bundle
from worker.inference.engines import Engine, Variant, open_engine
from worker.inference.own_process import take_order
from worker.inference.postprocess import opened
from worker.inference.selection.golden import Frames, read_golden

_TIMED_RUNS = 4


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one variant did on one device: scores of the golden frames, and milliseconds a frame in full batches; or
    why it gave none."""

    engine: str
    precision: str
    scores: list[float]
    frame_ms: float
    problem: str = ""

    @property
    def variant(self) -> Variant:
        """Which one."""
        return Variant(self.engine, self.precision)


def measure(variant: Variant, bundle: Bundle, device: Device, max_batch: int) -> Measurement:
    """Load the engine and have it score the golden frames; what goes wrong is the measurement's problem."""
    golden = read_golden(bundle)
    try:
        scores, frame_ms = _timed(open_engine(variant, bundle, device), golden.frames, max_batch)
    except LineError as error:
        return Measurement(variant.engine, variant.precision, [], math.inf, str(error))
    if not np.isfinite(scores).all():
        return Measurement(variant.engine, variant.precision, [], math.inf, "it gave scores that are not finite")
    return Measurement(variant.engine, variant.precision, scores.tolist(), frame_ms)


def score(engine: Engine, frames: Frames, max_batch: int = 8) -> npt.NDArray[np.float64]:
    """The score of each frame (N×h×w×3 uint8 of the graph's size), N float64.

    Raises:
        EngineError: the device failed.
    """
    return _timed(engine, frames, max_batch)[0]


def _timed(engine: Engine, frames: Frames, max_batch: int) -> tuple[npt.NDArray[np.float64], float]:
    """The scores, and milliseconds a frame in the quickest batch: whatever else runs can only slow one down."""
    scores: list[float] = []
    times: list[float] = []
    for at in range(0, len(frames), max_batch):
        batch = np.stack([engine.encode(frame) for frame in frames[at : at + max_batch]])
        started = time.perf_counter()
        maps = engine.run(batch)
        times.append((time.perf_counter() - started) / len(batch))
        scores += [float(opened(anomaly_map).max()) for anomaly_map in maps]
    while len(times) < _TIMED_RUNS:
        started = time.perf_counter()
        engine.run(batch)
        times.append((time.perf_counter() - started) / len(batch))
    return np.array(scores), min(times) * 1e3


def main() -> None:
    """Do as told on standard input."""
    order = take_order()
    device = parse_devices(order["device"])[0]
    pin(device)
    bundle = load_bundle(Path(order["folder"]))
    if order["onnx"]:
        bundle = replace(bundle, onnx=Path(order["onnx"]))
    variant = Variant(order["engine"], order["precision"])
    print(json.dumps(asdict(measure(variant, bundle, device, order["max_batch"]))))


if __name__ == "__main__":
    main()
