"""The formats that a model is exported to: what each takes, how it is made, and what runs it to be checked."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path

from worker.errors import SettingsError
from worker.inference.bundle import Bundle
from worker.inference.conversion import convert, convert_in_own_process
from worker.inference.edge import lite
from worker.inference.edge.description import Ends


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be exported. `target` and `converter` are Paddle Lite's: what is to run it, and its own converter
    where that is not on the PATH."""

    format: str
    precision: str = "fp32"
    target: str = "arm"
    converter: Path | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """A graph that was made, and a bundle that stands for it when it is compared with paddle.

    `verified` says in words what that is; for Paddle Lite it is not the graph itself. `told` goes into the description.
    """

    graph: Path
    ends: Ends
    checked: Bundle
    verified: str = "the exported graph"
    told: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Format:
    """`packages` have to be here; `make` writes into a folder, with another one for what is needed on the way; `engine`
    runs what is compared with paddle."""

    precisions: tuple[str, ...]
    packages: tuple[str, ...]
    engine: str
    make: Callable[[Bundle, Request, Path, Path], Made]

    def require(self, bundle: Bundle, request: Request) -> None:
        """Refuse what cannot be made here, before any of it is made.

        Raises:
            SettingsError: the precision is none of these, or a package or a program is missing.
            BundleError: the bundle has no int8 graph.
        """
        if request.precision not in self.precisions:
            raise SettingsError(
                f"{request.format} is exported in {', '.join(self.precisions)}, not {request.precision}"
            )
        for package in self._needed(bundle, request):
            if find_spec(package) is None:
                extra = _EXTRAS[package]
                raise SettingsError(f"--format {request.format} takes {package}: pip install 'line-worker[{extra}]'")
        if request.format == "paddle-lite":
            lite.find_converter(request.converter)
        elif request.precision == "int8":
            bundle.graph_for("int8")

    def _needed(self, bundle: Bundle, request: Request) -> Iterator[str]:
        yield from self.packages
        if request.format != "paddle-lite" and bundle.onnx_for(request.precision) is None:
            yield "paddle2onnx"


_EXTRAS = {"onnxruntime": "onnxruntime", "openvino": "openvino", "paddle2onnx": "export"}


def _write_onnx(bundle: Bundle, precision: str, output: Path) -> None:
    known = bundle.onnx_for(precision)
    if known is None:
        convert(bundle.folder, output)
    else:
        shutil.copyfile(known, output)


def _make_onnx(bundle: Bundle, request: Request, folder: Path, _scratch: Path) -> Made:
    from worker.inference.engines.onnxruntime import onnxruntime

    graph = folder / "model.onnx"
    _write_onnx(bundle, request.precision, graph)
    session = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    ends = Ends(session.get_inputs()[0].name, session.get_outputs()[0].name)
    return Made(graph, ends, replace(bundle, onnx=graph))


def _make_openvino(bundle: Bundle, request: Request, folder: Path, scratch: Path) -> Made:
    from worker.inference.engines.openvino import openvino

    source, graph = scratch / "model.onnx", folder / "model.xml"
    _write_onnx(bundle, request.precision, source)
    order = {"graph": str(source), "output": str(graph), "half": request.precision == "fp16"}
    convert_in_own_process("worker.inference.edge.ir", order, bundle.folder)
    model = openvino.Core().read_model(graph)
    ends = Ends(model.inputs[0].any_name, model.outputs[0].any_name)
    return Made(graph, ends, replace(bundle, onnx=graph))


def _make_paddle_lite(bundle: Bundle, request: Request, folder: Path, scratch: Path) -> Made:
    checked = bundle
    if bundle.graph.suffix == ".json":
        order = {"folder": str(bundle.folder), "output": str(scratch)}
        convert_in_own_process("worker.inference.edge.legacy", order, bundle.folder)
        checked = replace(bundle, graph=scratch / "inference.pdmodel", parameters=scratch / "inference.pdiparams")
    graph, half = folder / "model.nb", request.precision == "fp16"
    lite.optimise(lite.find_converter(request.converter), checked, graph, request.target, half=half)
    verified = "the graph that Paddle Lite's converter was given (what it made of it was not run)"
    return Made(graph, Ends(None, None, takes_bytes=False), checked, verified, {"target": request.target})


FORMATS: Mapping[str, Format] = {
    "onnx": Format(("fp32", "int8"), ("onnxruntime",), "onnxruntime", _make_onnx),
    "openvino": Format(("fp32", "fp16", "int8"), ("openvino",), "openvino", _make_openvino),
    "paddle-lite": Format(("fp32", "fp16"), (), "paddle", _make_paddle_lite),
}
