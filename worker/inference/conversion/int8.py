"""An ONNX graph with int8 convolutions: `python -m worker.inference.conversion.int8`, with its paths as JSON on its
input.

What is quantised, and why (deploy/adr/0009): the convolutions alone, but for the first and the last two of each
network, which the score is most sensitive to. Ranges are the smoothed extremes of good frames. What STFPM makes of the
features (normalisation, differences, product) stays in float. A constant factor at the end takes out what rounding
shifts the scores by, so that a calibrated threshold keeps its meaning.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import ModelProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

from worker.inference.conversion.stfpm import INPUT
from worker.inference.own_process import take_order
from worker.inference.postprocess import opened
from worker.inference.selection.golden import Frames, with_altered

_BATCH = 8


def quantise(graph: Path, learned: Frames, others: Frames, output: Path) -> None:
    """See `worker.inference.conversion.quantise`."""
    part = output.with_name(f"{output.name}.part")
    with tempfile.TemporaryDirectory() as scratch:
        rounded = Path(scratch) / "rounded.onnx"
        quantize_static(
            graph,
            rounded,
            _Reader(learned),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=_sensitive(onnx.load(graph)),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            # What leaves a convolution is added to before it is used: it is not rounded on the way.
            extra_options={
                "WeightSymmetric": True,
                "OpTypesToExcludeOutputQuantization": ["Conv"],
                "CalibMovingAverage": True,
            },
        )
        model = onnx.load(rounded)
        # Not from what the model learned: there it scores lowest, and what rounding adds weighs most.
        both_kinds = with_altered(others)
        shift = np.median(_scores(rounded, both_kinds) / _scores(graph, both_kinds))
    _scale_output(model, 1.0 / float(shift))
    onnx.save(model, part)
    part.replace(output)


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Hands the quantiser the frames a batch at a time."""

    def __init__(self, frames: Frames) -> None:
        self._batches: Iterator[Frames] = _batches(frames)

    def get_next(self) -> dict[str, Any] | None:
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch}


def _batches(frames: Frames) -> Iterator[Frames]:
    return (frames[at : at + _BATCH] for at in range(0, len(frames), _BATCH))


def _sensitive(model: ModelProto) -> list[str]:
    """The convolutions that stay in float: of teacher and student the first, which sees the picture itself, and those
    of the last residual block, whose features differ least."""
    network_of = {INPUT: ""}
    networks: dict[str, list[str]] = {}
    for node in model.graph.node:
        network = next((network_of[name] for name in node.input if network_of.get(name)), "")
        if node.op_type == "Conv":
            network = network or node.name
            networks.setdefault(network, []).append(node.name)
        for name in node.output:
            network_of[name] = network
    return [name for members in networks.values() for name in {members[0], *members[-2:]}]


def _scores(graph: Path, frames: Frames) -> npt.NDArray[np.float64]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    maps = (anomaly_map for batch in _batches(frames) for anomaly_map in session.run(None, {INPUT: batch})[0][:, 0])
    return np.array([opened(anomaly_map).max() for anomaly_map in maps], np.float64)


def _scale_output(model: ModelProto, factor: float) -> None:
    graph = model.graph
    name = graph.output[0].name
    for node in graph.node:
        for place, output in enumerate(node.output):
            if output == name:
                node.output[place] = f"{name}.rounded"
    graph.initializer.append(numpy_helper.from_array(np.array(factor, np.float32), f"{name}.factor"))
    graph.node.append(helper.make_node("Mul", [f"{name}.rounded", f"{name}.factor"], [name]))


if __name__ == "__main__":
    order = take_order()
    with np.load(order["frames"], allow_pickle=False) as arrays:
        learned, others = arrays["learned"], arrays["others"]
    quantise(Path(order["graph"]), learned, others, Path(order["output"]))
