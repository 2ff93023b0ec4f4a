"""From a bundle's paddle graph to ONNX graphs that other engines run: converted, given a head and a quicker tail, and
quantised. Each step runs in a process of its own, so that no worker carries the converters' memory."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from worker.errors import BundleError, SettingsError
from worker.inference.own_process import last_words, run_in_own_process

_TIMEOUT_S = 100.0


def can_convert() -> bool:
    """Whether the converter is installed."""
    return find_spec("paddle2onnx") is not None


def can_quantise() -> bool:
    """Whether the quantiser is installed."""
    return can_convert() and find_spec("onnxruntime") is not None


def convert(folder: Path, output: Path) -> None:
    """Write the graph of the model in `folder` as ONNX to `output`, in one step.

    It takes `image`, N×h×w×3 uint8, and gives the anomaly map, N×1×h×w float32.

    Raises:
        SettingsError: the converter is not installed.
        BundleError: it cannot convert this graph.
    """
    if not can_convert():
        raise SettingsError("converting takes paddle2onnx: pip install 'line-worker[export]'")
    convert_in_own_process("worker.inference.conversion.stfpm", {"folder": str(folder), "output": str(output)}, folder)


def quantise(graph: Path, frames: Path, output: Path) -> None:
    """Write the ONNX `graph` with its convolutions in int8 to `output`, in one step.

    Args:
        frames: a .npz with good frames of the graph's size, N×h×w×3 uint8: `learned` to take the ranges from, and
            `others` to correct the scores by.

    Raises:
        SettingsError: the quantiser is not installed.
        BundleError: it cannot quantise this graph.
    """
    if not can_quantise():
        raise SettingsError("int8 takes onnxruntime and paddle2onnx: pip install 'line-worker[export,onnxruntime]'")
    order = {"graph": str(graph), "frames": str(frames), "output": str(output)}
    convert_in_own_process("worker.inference.conversion.int8", order, graph)


def convert_in_own_process(module: str, order: Mapping[str, object], what: Path) -> None:
    """Run a converter, a module that takes `order`, on the model or graph `what`.

    Raises:
        BundleError: it failed; says how.
    """
    try:
        done = run_in_own_process(module, order, _TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise BundleError(f"{what}: cannot be converted: not done after {_TIMEOUT_S:.0f} s") from error
    if done.returncode:
        raise BundleError(f"{what}: cannot be converted: {last_words(done)}")
