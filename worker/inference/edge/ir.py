"""An ONNX graph as OpenVINO's own files: `python -m worker.inference.edge.ir`, with its paths as JSON on its input."""

from __future__ import annotations

from pathlib import Path

from worker.inference.engines.openvino import openvino
from worker.inference.own_process import take_order


def write_ir(graph: Path, output: Path, *, half: bool) -> None:
    """Write `output`, an .xml, and the .bin beside it; with `half` the weights are stored as float16."""
    openvino.save_model(openvino.convert_model(graph), output, compress_to_fp16=half)


if __name__ == "__main__":
    order = take_order()
    write_ir(Path(order["graph"]), Path(order["output"]), half=order["half"])
