"""line-worker: streaming visual inspection for a production line."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("line-worker")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0+unknown"

__all__ = ["__version__"]
