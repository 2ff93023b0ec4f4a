"""Writes an STFPM network as a folder in PaddleX's inference format."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import math
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt
import yaml

from worker.training.framework import paddle
from worker.training.network import Backbone, Convolution, Stfpm, folded_backbone
from worker.training.weights import fold

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_TOLD = 200  # characters of what paddle says


def export(
    network: Stfpm,
    folder: Path,
    size: tuple[int, int] = (256, 256),
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    *,
    half: bool = False,
) -> None:
    """Write inference.json, inference.pdiparams and inference.yml into `folder`, for batches of any size.

    The graph takes N×3×H×W float32 (RGB, /255, normalised) and gives the anomaly map N×1×H×W float32.

    Args:
        size: (H, W) that the transforms resize to.
        half: store the convolutions as float16, cast to float32 in the graph: half the file.
    """
    frozen = Stfpm(_frozen(network.teacher, half), _frozen(network.student, half), network.layer_weights, network.scale)
    frozen.eval()
    spec = paddle.static.InputSpec([None, 3, *size], "float32", "x")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:  # a folder is never seen half written
        with contextlib.redirect_stdout(io.StringIO()):
            paddle.jit.save(frozen, f"{scratch}/inference", input_spec=[spec])
        _check_whole(scratch, frozen)
        for name in ("inference.json", "inference.pdiparams"):
            shutil.move(f"{scratch}/{name}", folder / name)
    (folder / "inference.yml").write_text(_transforms(size, mean, std))


def _check_whole(folder: str, network: Stfpm) -> None:
    """Paddle writes a graph without a word where the disk is full, and loads one whose end is missing: what is in
    memory then may be the right values by chance, so the size is compared too.

    Raises:
        OSError: what was written is not what there was to write.
    """
    wanted = [parameter.numpy() for parameter in network.parameters()]
    size = Path(f"{folder}/inference.pdiparams").stat().st_size
    if size < sum(_stored_bytes(values) for values in wanted):
        raise OSError(errno.EIO, "the graph was not written whole: is the disk full?")
    try:
        loaded = paddle.jit.load(f"{folder}/inference")
        written = sorted(_digest(parameter.numpy()) for parameter in loaded.parameters())
    except Exception as error:  # whatever a half graph makes paddle say
        raise OSError(errno.EIO, f"the graph was not written whole: {error}"[:_TOLD]) from error
    if written != sorted(_digest(values) for values in wanted):
        raise OSError(errno.EIO, "the graph was not written whole: is the disk full?")


def _stored_bytes(values: npt.NDArray[Any]) -> int:
    """Of a parameter in inference.pdiparams: two versions, levels and a length; type and sides as protobuf; values."""
    sides: int = sum(1 + max(1, math.ceil(side.bit_length() / 7)) for side in values.shape)
    return 20 + 2 + sides + int(values.nbytes)


def _digest(values: npt.NDArray[Any]) -> str:
    return hashlib.sha256(values.tobytes()).hexdigest()


def _frozen(backbone: Backbone, half: bool) -> Backbone:
    """A copy with BatchNorm folded; `half` stores weights, not biases, as float16."""
    copy = folded_backbone(fold(backbone.weights()))
    if half:
        for layer in copy.sublayers():
            if isinstance(layer, Convolution):
                layer.store_half()
    return copy


def _transforms(size: tuple[int, int], mean: Sequence[float], std: Sequence[float]) -> str:
    height, width = size
    transforms = [
        {"type": "Resize", "target_size": [width, height], "keep_ratio": False, "interp": "LINEAR"},
        {
            "type": "Normalize",
            "mean": [float(value) for value in mean],
            "std": [float(value) for value in std],
        },
    ]
    document = {"Global": {"model_name": "STFPM"}, "Deploy": {"transforms": transforms}}
    return yaml.safe_dump(document, sort_keys=False)
