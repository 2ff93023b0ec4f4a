"""line-worker: streaming visual inspection for a production line."""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from worker.pipeline import create_model, create_pipeline

try:
    __version__ = version("line-worker")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0+unknown"

__all__ = ["__version__", "create_model", "create_pipeline"]


def __getattr__(name: str) -> Any:
    """The public names, whose frameworks are loaded when they are first asked for."""
    if name in __all__:
        return getattr(import_module("worker.pipeline"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
