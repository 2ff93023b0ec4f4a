"""A paddle graph as ONNX: `python -m worker.inference.conversion.stfpm`, with folder and output as JSON on its input.

paddle2onnx converts the network. Its input then becomes the frame's bytes, normalised in the graph, and each bilinear
upsampling becomes two products with constant matrices, which every engine has in its fastest form.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from worker.inference.bundle import load_bundle
from worker.inference.own_process import take_order
from worker.inference.preprocess import Transforms

INPUT = "image"
_OPSET = 17


def convert(folder: Path, output: Path) -> None:
    """See `worker.inference.conversion.convert`."""
    from worker.inference.engines import paddle as _  # noqa: F401  (loads paddle, but without its noise)

    import paddle2onnx  # isort: skip

    bundle = load_bundle(folder)
    with tempfile.TemporaryDirectory() as scratch:
        raw = Path(scratch) / "raw.onnx"
        # Left to itself it has constants folded by a package that installs another one over the network, here and now.
        paddle2onnx.export(
            str(bundle.graph), str(bundle.parameters), str(raw), opset_version=_OPSET, optimize_tool="None"
        )
        model = onnx.load(raw)
    _without_identities(model)
    _fold_constants(model)
    _upsample_by_products(model)
    _take_bytes(model, bundle.transforms)
    onnx.checker.check_model(model)
    part = output.with_name(f"{output.name}.part")
    onnx.save(model, part)
    part.replace(output)


def _without_identities(model: ModelProto) -> None:
    """Let every node read from where a value is made; paddle2onnx leaves a chain of names behind."""
    graph = model.graph
    source: dict[str, str] = {}
    outputs = {value.name for value in graph.output}
    for node in [node for node in graph.node if node.op_type == "Identity" and node.output[0] not in outputs]:
        source[node.output[0]] = source.get(node.input[0], node.input[0])
        graph.node.remove(node)
    for node in graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = source.get(name, name)


def _fold_constants(model: ModelProto) -> None:
    """Compute what depends on no input, as weights that are stored as float16."""
    graph = model.graph
    known = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in list(graph.node):
        if any(name not in known for name in node.input) or len(node.output) != 1:
            continue
        value = ReferenceEvaluator(node).run(None, {name: known[name] for name in node.input})[0]
        known[node.output[0]] = np.asarray(value)
        graph.initializer.append(numpy_helper.from_array(known[node.output[0]], node.output[0]))
        graph.node.remove(node)
    _drop_unused(model)


def _upsample_by_products(model: ModelProto) -> None:
    """Replace each bilinear Resize whose sizes are known by U·x·V with constant U and V; leave all others."""
    shapes = _spatial_shapes(model)
    graph = model.graph
    for node in list(graph.node):
        small, large = shapes.get(node.input[0]), shapes.get(node.output[0])
        if node.op_type != "Resize" or small is None or large is None or not _is_half_pixel_linear(node):
            continue
        rows, columns = f"{node.name or node.output[0]}.rows", f"{node.name or node.output[0]}.columns"
        graph.initializer.append(numpy_helper.from_array(upsampling(small[0], large[0]), rows))
        graph.initializer.append(numpy_helper.from_array(upsampling(small[1], large[1]).T.copy(), columns))
        halfway = f"{node.output[0]}.wide"
        place = list(graph.node).index(node)
        graph.node.insert(place, helper.make_node("MatMul", [node.input[0], columns], [halfway]))
        graph.node.insert(place + 1, helper.make_node("MatMul", [rows, halfway], [node.output[0]]))
        graph.node.remove(node)
    _drop_unused(model)


def upsampling(small: int, large: int) -> npt.NDArray[np.float32]:
    """The large×small matrix that interpolates linearly between pixels' centres, as bilinear resizing does."""
    matrix = np.zeros((large, small), np.float64)
    for row in range(large):
        at = max((row + 0.5) * small / large - 0.5, 0.0)
        below = min(int(at), small - 1)
        above, share = min(below + 1, small - 1), at - below
        matrix[row, below] += 1 - share
        matrix[row, above] += share
    return matrix.astype(np.float32)


def _is_half_pixel_linear(node: NodeProto) -> bool:
    values = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    transformation = values.get("coordinate_transformation_mode", b"half_pixel")
    return values.get("mode") == b"linear" and transformation in (b"half_pixel", b"pytorch_half_pixel")


def _spatial_shapes(model: ModelProto) -> dict[str, tuple[int, int]]:
    """(H, W) of every N×C×H×W value where both are known."""
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    known = {}
    for value in (*inferred.value_info, *inferred.output, *inferred.input):
        sides = [side.dim_value for side in value.type.tensor_type.shape.dim]
        if len(sides) == 4 and sides[2] and sides[3]:
            known[value.name] = (sides[2], sides[3])
    return known


def _drop_unused(model: ModelProto) -> None:
    """Remove what only the replaced nodes had need of."""
    graph = model.graph
    while True:
        read = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
        idle = [node for node in graph.node if not read.intersection(node.output)]
        if not idle:
            break
        for node in idle:
            graph.node.remove(node)
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in read]:
        graph.initializer.remove(tensor)


def _take_bytes(model: ModelProto, transforms: Transforms) -> None:
    """Put cast, normalisation and N×h×w×3 → N×3×h×w before the network."""
    graph = model.graph
    network_input = graph.input[0].name
    scale, shift = (np.array(values, np.float32) for values in zip(*transforms.scales_and_shifts(), strict=True))
    graph.initializer.append(numpy_helper.from_array(scale, f"{INPUT}.scale"))
    graph.initializer.append(numpy_helper.from_array(shift, f"{INPUT}.shift"))
    head = [
        helper.make_node("Cast", [INPUT], [f"{INPUT}.float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", [f"{INPUT}.float", f"{INPUT}.scale"], [f"{INPUT}.scaled"]),
        helper.make_node("Add", [f"{INPUT}.scaled", f"{INPUT}.shift"], [f"{INPUT}.normalised"]),
        helper.make_node("Transpose", [f"{INPUT}.normalised"], [network_input], perm=[0, 3, 1, 2]),
    ]
    for place, node in enumerate(head):
        graph.node.insert(place, node)
    del graph.input[:]
    shape = ["N", *transforms.map_shape, 3]
    graph.input.append(helper.make_tensor_value_info(INPUT, TensorProto.UINT8, shape))


if __name__ == "__main__":
    order = take_order()
    convert(Path(order["folder"]), Path(order["output"]))
