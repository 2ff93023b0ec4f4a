"""A paddle graph in paddle 2's format: `python -m worker.inference.edge.legacy`, with its order as JSON on its input.

Paddle Lite reads `inference.pdmodel`, and knows nothing of the `inference.json` that paddle 3 writes. paddle itself has
no way back, but the operators of STFPM are the same ones under other names: they are written again one by one, by the
tables below. What depends on no input (casts of weights, exponents, sizes) is computed here and becomes a constant.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from worker.inference.engines.paddle import paddle
from worker.inference.own_process import take_order

INPUT = "x"
"""The name of the graph's input, which paddle's exports have too."""

Array = npt.NDArray[Any]
Attributes = dict[str, Any]

_SAME_NAMES = (
    *("strides", "paddings", "padding_algorithm", "dilations", "groups", "data_format"),
    *("ceil_mode", "exclusive", "pooling_type", "global_pooling", "adaptive"),
    *("porder", "axis", "epsilon", "keepdim", "asvector"),
    *("out_h", "out_w", "interp_method", "align_corners", "align_mode"),
    *("bias", "bias_after_scale"),
)
# paddle 3's operators of one input: paddle 2's name, and those attributes whose names have changed.
_OF_ONE: dict[str, tuple[str, Mapping[str, str]]] = {
    "relu": ("relu", {}),
    "square": ("square", {}),
    "sqrt": ("sqrt", {}),
    "p_norm": ("p_norm", {}),
    "pool2d": ("pool2d", {}),
    "scale": ("scale", {}),
    "bilinear_interp": ("bilinear_interp_v2", {"data_format": "data_layout"}),
    "sum": ("reduce_sum", {"keepdim": "keep_dim"}),
    "mean": ("reduce_mean", {"keepdim": "keep_dim"}),
    "elementwise_pow": ("pow", {}),
}
# What is a second input in paddle 3, and a constant in these graphs, is an attribute in paddle 2.
_SECOND: dict[str, Callable[[Array], Attributes]] = {
    "pool2d": lambda value: {"ksize": value.tolist()},
    "scale": lambda value: {"scale": float(value.item())},
    "sum": lambda value: {"dim": value.tolist(), "reduce_all": False},
    "mean": lambda value: {"dim": value.tolist(), "reduce_all": False},
    "elementwise_pow": lambda value: {"factor": float(value.item())},
}
_OF_TWO = {
    "add": "elementwise_add",
    "subtract": "elementwise_sub",
    "multiply": "elementwise_mul",
    "divide": "elementwise_div",
    "maximum": "elementwise_max",
}
_DTYPES = {paddle.float32: np.float32, paddle.float16: np.float16, paddle.int64: np.int64, paddle.int32: np.int32}
_CONSTANTS: dict[str, Callable[[Attributes, list[Array]], Array]] = {
    "full": lambda has, _: np.full(has["shape"], has["value"], _DTYPES[has["dtype"]]),
    "full_int_array": lambda has, _: np.array(has["value"], np.int64),
    "cast": lambda has, values: values[0].astype(_DTYPES[has["dtype"]]),
    "reshape": lambda _, values: values[0].reshape(values[1].tolist()),
}


def rewrite(folder: Path, output: Path) -> None:
    """Write the `inference.json` in `folder` as `inference.pdmodel` and `inference.pdiparams` into the folder `output`.

    Raises:
        ValueError: an operator is in it that is not in the tables.
    """
    paddle.enable_static()
    executor = paddle.static.Executor(paddle.CPUPlace())
    source, _, results = paddle.static.load_inference_model(str(folder / "inference"), executor)
    loaded = paddle.static.global_scope()
    with paddle.pir_utils.OldIrGuard(), paddle.static.scope_guard(paddle.static.Scope()):
        program = _Program(lambda name: np.array(loaded.find_var(name).get_tensor()))
        for operator in source.global_block().ops:
            program.add(operator)
        outputs = [program.variable(value) for value in results]
        paddle.static.save_inference_model(
            str(output / "inference"), [program.input], outputs, executor, program=program.program
        )


class _Program:
    """The program in paddle 2's format, as far as it is written."""

    def __init__(self, parameter: Callable[[str], Array]) -> None:
        self.program = paddle.static.Program()
        self.input: Any = None
        self._block = self.program.global_block()
        self._parameter = parameter
        self._constants: dict[int, Array] = {}
        self._variables: dict[int, Any] = {}

    def add(self, operator: Any) -> None:
        """Write the next operator of a program of paddle 3."""
        name = operator.name().removeprefix("pd_op.").rstrip("_")
        inputs = [value for value in operator.operands_source() if value.initialized()]
        if name == "fetch":
            return
        result, has = operator.results()[0], operator.attrs()
        if name == "builtin.parameter":
            self._constants[result.id] = self._parameter(has["parameter_name"])
        elif name == "data":
            self.input = self._variables[result.id] = self._block.create_var(
                name=INPUT, shape=has["shape"], dtype="float32", is_data=True, need_check_feed=True
            )
        elif name in _CONSTANTS and all(value.id in self._constants for value in inputs):
            self._constants[result.id] = _CONSTANTS[name](has, [self._constants[value.id] for value in inputs])
        elif name in _OF_ONE:
            kind, renamed = _OF_ONE[name]
            attributes = _attributes(has, renamed)
            if len(inputs) > 1:
                attributes |= _SECOND[name](self._constants[inputs[1].id])
            self._append(kind, {"X": inputs[0]}, {"Out": result}, attributes)
        elif name in _OF_TWO:
            self._append_of_two(_OF_TWO[name], inputs[0], inputs[1], result)
        elif name == "conv2d":
            self._append("conv2d", {"Input": inputs[0], "Filter": inputs[1]}, {"Output": result}, _attributes(has, {}))
        elif name == "batch_norm":
            self._append_normalisation(inputs, result, has)
        else:
            raise ValueError(f"the operator {operator.name()} is not one that can be written for Paddle Lite")

    def variable(self, value: Any) -> Any:
        """The variable of a value; a constant becomes a parameter."""
        if value.id in self._constants and value.id not in self._variables:
            self._variables[value.id] = self._keep(self._constants[value.id])
        return self._variables[value.id]

    def _keep(self, constant: Array) -> Any:
        name = f"constant_{len(self._variables)}"
        made = self._block.create_parameter(name=name, shape=constant.shape, dtype=str(constant.dtype))
        paddle.static.global_scope().var(name).get_tensor().set(np.ascontiguousarray(constant), paddle.CPUPlace())
        return made

    def _append(self, kind: str, inputs: dict[str, Any], outputs: dict[str, Any], attributes: Attributes) -> None:
        given = {slot: [self.variable(value).name] for slot, value in inputs.items()}
        for value in outputs.values():
            self._variables[value.id] = self._block.create_var(name=f"value_{len(self._variables)}")
        made = {slot: [self._variables[value.id].name] for slot, value in outputs.items()}
        self._block.append_op(type=kind, inputs=given, outputs=made, attrs=attributes)

    def _append_of_two(self, kind: str, one: Any, other: Any, result: Any) -> None:
        """A constant for each channel is written as paddle 2 writes a bias, which Paddle Lite fuses."""
        axis, constant = -1, self._constants.get(other.id)
        if constant is not None and constant.ndim == 4 and constant.size == constant.shape[1]:
            self._constants[other.id], axis = constant.reshape(-1), 1
        self._append(kind, {"X": one, "Y": other}, {"Out": result}, {"axis": axis})

    def _append_normalisation(self, inputs: list[Any], result: Any, has: Attributes) -> None:
        slots = ("X", "Mean", "Variance", "Scale", "Bias")
        given = {slot: [self.variable(value).name] for slot, value in zip(slots, inputs, strict=True)}
        made = {slot: [f"{slot}_{len(self._variables)}"] for slot in ("SavedMean", "SavedVariance")}
        for [name] in made.values():
            self._block.create_var(name=name)
        self._variables[result.id] = self._block.create_var(name=f"value_{len(self._variables)}")
        made |= {"Y": [self._variables[result.id].name], "MeanOut": given["Mean"], "VarianceOut": given["Variance"]}
        attributes = {"epsilon": has["epsilon"], "momentum": has["momentum"], "data_layout": has["data_format"]}
        attributes |= {"is_test": True, "use_global_stats": True}
        self._block.append_op(type="batch_norm", inputs=given, outputs=made, attrs=attributes)


def _attributes(has: Attributes, renamed: Mapping[str, str]) -> Attributes:
    same = {name: has[name] for name in _SAME_NAMES if name in has and name not in renamed}
    return same | {new: has[old] for old, new in renamed.items()}


if __name__ == "__main__":
    order = take_order()
    try:
        rewrite(Path(order["folder"]), Path(order["output"]))
    except ValueError as error:
        sys.exit(str(error))
