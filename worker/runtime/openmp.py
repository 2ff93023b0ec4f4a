"""An OpenMP runtime for paddle where the system has none, as on a slim container image."""

from __future__ import annotations

import ctypes
from importlib.util import find_spec
from pathlib import Path

_NAME = "libgomp.so.1"
_PATH = "LD_LIBRARY_PATH"


def with_openmp(environment: dict[str, str], folder: Path) -> dict[str, str]:
    """The environment for a process that loads paddle.

    paddle's oneDNN is linked with GNU's libgomp.so.1, which its wheel does not bring. The wheel does bring
    Intel's libiomp5.so, made to stand in for it; a link of the right name in `folder` lets the loader find it.
    """
    try:
        ctypes.CDLL(_NAME)
    except OSError:
        spec = find_spec("paddle")  # finds it without importing it
        own = Path(spec.origin).parent / "libs" / "libiomp5.so" if spec and spec.origin else None
        if own is not None and own.is_file():
            link = folder / _NAME
            if not link.is_symlink():
                link.symlink_to(own)
            return environment | {_PATH: ":".join(filter(None, (str(folder), environment.get(_PATH, ""))))}
    return environment
