"""Weights of a ResNet18 on disk, in any of three formats, as folded arrays by torchvision's names."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile, ZipFile, is_zipfile

import numpy as np
import numpy.typing as npt

from worker.errors import SourceError
from worker.training.weights import Weights, fold, shapes

MAX_BYTES = 512 * 1024 * 1024
"""No ResNet18 is as large; a file that is, is not read."""

_PARTS = ("conv1.", "bn1.", "layer1.", "layer2.", "layer3.")
_PADDLE_TO_TORCH = (("._mean", ".running_mean"), ("._variance", ".running_var"))

Arrays = Mapping[str, npt.NDArray[Any]]


def read(path: Path) -> Weights:
    """Folded weights of a teacher from a file, with BatchNorm or already folded.

    Entries of deeper layers (`layer4`, `fc`) are left out.

    Raises:
        SourceError: there is no such file, or it does not hold ResNet18's conv1 to layer3.
    """
    if not path.is_file():
        raise SourceError(f"teacher {path}: there is no such file, and no teacher of that name")
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise SourceError(f"teacher {path}: wanted a file that ends with {', '.join(_READERS)}")
    if path.stat().st_size > MAX_BYTES:
        raise SourceError(f"teacher {path}: larger than any ResNet18 ({MAX_BYTES >> 20} MiB)")
    try:
        arrays = {_torch_name(name): value for name, value in reader(path).items()}
        wanted = {name: np.asarray(value, np.float32) for name, value in arrays.items() if name.startswith(_PARTS)}
        return _checked(fold(wanted))
    except SourceError:
        raise
    except Exception as error:  # a file from outside may break its reader in any way
        raise SourceError(f"teacher {path}: not a ResNet18 by torchvision's or paddle's names: {error}") from error


def _torch_name(name: str) -> str:
    for paddles, torchs in _PADDLE_TO_TORCH:
        name = name.replace(paddles, torchs)
    return name


def _checked(weights: Weights) -> Weights:
    for name, shape in shapes().items():
        if name not in weights:
            raise ValueError(f"{name} is missing")
        if weights[name].shape != shape:
            raise ValueError(f"{name} has shape {weights[name].shape}, wanted {shape}")
        bias = name.replace(".weight", ".bias")
        if weights[bias].shape != shape[:1]:
            raise ValueError(f"{bias} has shape {weights[bias].shape}, wanted {shape[:1]}")
        if not all(np.isfinite(weights[part]).all() for part in (name, bias)):
            raise ValueError(f"{name} holds numbers that are not finite")
    return weights


def _read_npz(path: Path) -> Arrays:
    if not is_zipfile(path):  # numpy would advise to unpickle it
        raise SourceError(f"teacher {path}: not an .npz file")
    try:
        with ZipFile(path) as whole:
            if sum(entry.file_size for entry in whole.infolist()) > MAX_BYTES:
                raise SourceError(f"teacher {path}: unpacked it is larger than any ResNet18")
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files if name.startswith(_PARTS)}
    except BadZipFile as error:
        raise ValueError(error) from error


def _read_safetensors(path: Path) -> Arrays:
    try:
        from safetensors.numpy import load_file
    except ImportError as error:
        raise SourceError(f"teacher {path}: .safetensors take the extra: pip install 'line-worker[train]'") from error
    return load_file(path)


class _ArraysOnly(pickle.Unpickler):
    """Paddle's .pdparams are pickles. This reads those of plain arrays and refuses to call anything else.

    What numpy's own arrays name on their way back is made of these few; none of them runs code of the file's.
    """

    _ALLOWED: Mapping[tuple[str, str], Any] = {
        ("collections", "OrderedDict"): OrderedDict,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in self._ALLOWED:
            return self._ALLOWED[module, name]
        if name == "_reconstruct" and module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            return _empty_array
        if name == "_frombuffer" and module in ("numpy.core.numeric", "numpy._core.numeric"):
            return _array_of
        if (module, name) == ("_codecs", "encode"):  # how protocol 2 writes bytes
            return _encoded
        raise SourceError(f"it would call {module}.{name}: only plain arrays are read")


def _empty_array(_kind: type, _shape: tuple[int, ...], _code: bytes) -> npt.NDArray[Any]:
    """What numpy begins an array with before its state comes."""
    return np.ndarray((0,), "b")


def _array_of(data: bytes, dtype: np.dtype[Any], shape: tuple[int, ...], order: Literal["C", "F"]) -> npt.NDArray[Any]:
    """An array as protocol 5 has it."""
    return np.frombuffer(data, dtype).reshape(shape, order=order)


def _encoded(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise SourceError(f"its bytes are written as {encoding}: only plain arrays are read")
    return text.encode("latin1")


def _read_pdparams(path: Path) -> Arrays:
    with path.open("rb") as file:
        entries = _ArraysOnly(file).load()
    if not isinstance(entries, Mapping):
        raise ValueError("it is no mapping of names to arrays")
    found = {}
    for name, value in entries.items():
        # Paddle saves a parameter as an array or as (name, array).
        array = value[1] if isinstance(value, tuple) and len(value) == 2 else value
        if isinstance(name, str) and isinstance(array, np.ndarray) and array.dtype.kind == "f":
            found[name] = array
    return found


_READERS: Mapping[str, Callable[[Path], Arrays]] = {
    ".npz": _read_npz,
    ".pdparams": _read_pdparams,
    ".safetensors": _read_safetensors,
}
