"""Loaded by every Python process of the line under test: puts traps before the paddle engine, or a cheap one instead.

So the product carries no hook for its tests, and a frame can still kill, fail or hang its worker in native code.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.abc import Loader
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

ENGINE = "worker.inference.engines.paddle"


class _EngineFinder:
    """Finds the engine's module once, and hands it over to `chaos_engine`."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != ENGINE:
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(name, path)
        spec.loader = _TrapLoader(spec.loader)
        return spec


class _TrapLoader(Loader):
    def __init__(self, real: Loader) -> None:
        self._real = real

    def exec_module(self, module: ModuleType) -> None:
        import chaos_engine

        if os.environ.get("CHAOS_ENGINE") == "cheap":
            module.PaddleEngine = chaos_engine.CheapEngine
        else:
            self._real.exec_module(module)
        module.PaddleEngine = chaos_engine.with_traps(module.PaddleEngine)


sys.meta_path.insert(0, _EngineFinder())
