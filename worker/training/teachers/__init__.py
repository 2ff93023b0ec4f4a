"""Teachers by name or file: `builtin`, `imagenet`, `random`, or weights on disk.

builtin    ships with the package: trained on generated pictures alone (see `worker.training.pretraining`)
imagenet   paddle's own ResNet18, fetched from its official address at first use and cached
random     drawn by the seed, settled on some of the good images: finds coarse defects only
FILE       .npz by torchvision's names, .safetensors by the same, or paddle's .pdparams
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from worker.download import IMAGENET, fetch
from worker.training.teachers.files import read
from worker.training.weights import Weights

BUILTIN, IMAGENET_NAME, RANDOM = "builtin", "imagenet", "random"
NAMES = (BUILTIN, IMAGENET_NAME, RANDOM)
BUILTIN_FILE = Path(__file__).with_name("builtin.npz")


@dataclass(frozen=True, slots=True)
class Teacher:
    """Folded weights, and what to say of where they come from. `weights` is None for one that is drawn."""

    name: str
    weights: Weights | None
    sha256: str = ""


def open_teacher(name: str, cache: Path, progress: Callable[[int, int], None] | None = None) -> Teacher:
    """The teacher of this name, or of this file.

    Args:
        cache: folder that downloads are kept in.
        progress: called with the bytes that came and the bytes in all, where something is fetched.

    Raises:
        SourceError: there is no such file, it cannot be fetched, or it holds no ResNet18.
    """
    if name == RANDOM:
        return Teacher(RANDOM, None)
    file = {BUILTIN: BUILTIN_FILE}.get(name, Path(name))
    if name == IMAGENET_NAME:
        file = fetch(IMAGENET, cache, progress)
    weights = read(file)
    return Teacher(name if name in NAMES else file.name, weights, hashlib.sha256(file.read_bytes()).hexdigest())
